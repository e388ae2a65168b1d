"""Compare the same validation tasks before and after training: which were won and lost, with a few examples of each.

"Before" is the first validation, "after" the best one, whose weights `checkpoints/best` holds; when the first is the
best, the last. Only these two validations' lines are read from `rollouts.jsonl`. They hold no gold.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from lit_sql_trainer.rollouts.metrics import MetricLine
from lit_sql_trainer.runs.folder import Record
from sql_reward.stats import PairedComparison, compare_paired


class Change(StrEnum):
    """How a task changed, in the order of the report."""

    WON = "won"
    LOST = "lost"
    STILL_WRONG = "still wrong"
    STILL_RIGHT = "still right"


SHARES = {Change.WON: 0.4, Change.LOST: 0.25, Change.STILL_WRONG: 0.25, Change.STILL_RIGHT: 0.1}
"""Of the examples shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One task, before and after."""

    change: Change
    before: Record
    after: Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """Two validations of one run, task by task."""

    before_step: int | None = None
    after_step: int | None = None
    """None until there are two validations."""
    comparison: PairedComparison | None = None
    counts: Counter[Change] = field(default_factory=Counter[Change])
    shown: tuple[Example, ...] = ()
    failed: Counter[str] = field(default_factory=Counter[str])
    """Why validation rollouts were dropped."""


def read_examples(file: Path, validations: Sequence[MetricLine], *, best: MetricLine | None, limit: int) -> Examples:
    """Compare the first validation with the best one, and choose at most `limit` tasks to show."""
    records, failed = _validation_records(file)
    if len(validations) < 2 or best is None:
        return Examples(failed=failed)
    first, after = int(validations[0]["step"]), int(best["step"])
    if after == first:
        after = int(validations[-1]["step"])
    before_by_task, after_by_task = records.get(first, {}), records.get(after, {})
    pairs = [
        Example(change=_change(before_by_task[task], after_by_task[task]), before=before_by_task[task], after=record)
        for task, record in sorted(after_by_task.items())
        if task in before_by_task
    ]
    if not pairs:
        return Examples(failed=failed)
    return Examples(
        before_step=first,
        after_step=after,
        comparison=compare_paired([_right(pair.before) for pair in pairs], [_right(pair.after) for pair in pairs]),
        counts=Counter(pair.change for pair in pairs),
        shown=tuple(_choose(pairs, limit)),
        failed=failed,
    )


def _validation_records(file: Path) -> tuple[dict[int, dict[str, Record]], Counter[str]]:
    """Maps step to task to its last line; also the reasons of dropped rollouts."""
    records: dict[int, dict[str, Record]] = {}
    failed: Counter[str] = Counter()
    if not file.exists():
        return records, failed
    with file.open("rb") as lines:
        for line in lines:
            if b'"val"' not in line or not line.endswith(b"\n"):
                continue  # training lines are most of a long run's file, so they are not parsed
            record = json.loads(line)
            if record.get("mode") != "val":
                continue
            if record.get("failed"):
                failed[str(record["failed"])] += 1
            else:
                records.setdefault(int(record.get("step", 0)), {})[str(record["task_id"])] = record
    return records, failed


def _choose(pairs: Sequence[Example], limit: int) -> list[Example]:
    chosen: list[Example] = []
    for change, share in SHARES.items():
        kind = [pair for pair in pairs if pair.change is change]
        kind.sort(key=lambda pair: pair.before.get("sql") == pair.after.get("sql"))  # those that changed first
        chosen += kind[: max(1, round(share * limit))]
    return chosen[:limit] if limit else []


def _change(before: Record, after: Record) -> Change:
    return {
        (False, True): Change.WON,
        (True, False): Change.LOST,
        (False, False): Change.STILL_WRONG,
        (True, True): Change.STILL_RIGHT,
    }[_right(before), _right(after)]


def _right(record: Record) -> bool:
    return record.get("outcome") == "match"
