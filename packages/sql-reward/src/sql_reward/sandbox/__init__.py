"""Runs one statement safely: untrusted SQL on a SQLite file, read-only, within limits and without a trace."""
