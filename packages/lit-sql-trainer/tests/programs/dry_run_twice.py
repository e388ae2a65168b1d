"""Rehearse `tiny` with a model of this machine, then with an endpoint; print a JSON line for each.

python dry_run_twice.py MODEL DATA URL
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from lit_sql_trainer import PROFILES, configure, dry_run


def rehearse(data: Path, model: str | None) -> None:
    """Run one rehearsal and print what it said and found."""
    said: list[str] = []
    profile = configure(PROFILES["tiny"], ["max_tokens=48", "torch_threads=1"], data=data, model=model)
    report = dry_run(profile, echo=said.append)
    failed = [check.what for check in report.checklist if not check.passed]
    print(json.dumps({"said": said, "passed": report.passed, "failed": failed}))


if __name__ == "__main__":
    model, data, endpoint = sys.argv[1:]
    rehearse(Path(data), model)
    os.environ["OPENAI_API_BASE"] = endpoint
    rehearse(Path(data), None)
