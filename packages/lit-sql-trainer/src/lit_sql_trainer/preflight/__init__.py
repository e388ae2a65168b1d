"""Everything that can be known to be wrong before hours are spent: `lit-sql check`, and its quick part in `train`."""

from __future__ import annotations

from lit_sql_trainer.preflight.findings import Family, Finding, Level, Report
from lit_sql_trainer.preflight.run import preflight, quick_look

__all__ = ["Family", "Finding", "Level", "Report", "preflight", "quick_look"]
