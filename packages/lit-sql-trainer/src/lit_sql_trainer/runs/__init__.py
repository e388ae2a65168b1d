"""Keeps a run's folder: its files, its tally, and who watches it."""

from __future__ import annotations

from lit_sql_trainer.runs.folder import RunFolder, append_line, create_run, open_run, read_lines, write_json
from lit_sql_trainer.runs.watch import RunWatcher, events

__all__ = ["RunFolder", "RunWatcher", "append_line", "create_run", "events", "open_run", "read_lines", "write_json"]
