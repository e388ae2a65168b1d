"""Checks everything before training begins: all of it in `lit-sql check`, the quick part in `train`."""

from __future__ import annotations

from lit_sql_trainer.preflight.findings import Family, Finding, Level, Report
from lit_sql_trainer.preflight.run import preflight, quick_look

__all__ = ["Family", "Finding", "Level", "Report", "preflight", "quick_look"]
