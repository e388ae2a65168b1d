"""Keeps a run's folder: its files, its tally, and who watches it."""
