"""Many pairs at once: files in, worker processes, verdicts and a report out."""
