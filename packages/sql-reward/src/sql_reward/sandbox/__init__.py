"""Runs one untrusted statement against a SQLite file: read-only, within limits, and without a trace."""
