"""What the rollouts of one phase show, counted from the runners' lines: one dict of plain numbers.

These are the keys that `rollouts.jsonl` adds to a line of `metrics.jsonl`; the monitors and the report read them
there, whoever wrote the line. Signs are read off the SQL text, without a parser: they must be cheap and never fail.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import cast

from lit_sql_trainer.rollouts.metrics import Tally
from lit_sql_trainer.runs.folder import Record

_ASIDE = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`|\[[^\]]*\]|--[^\n]*|/\*.*?\*/", re.DOTALL)
"""Literals, quoted names and comments, in which a keyword is no keyword."""
_STAR = re.compile(r"\s*select\s+(?:(?:distinct|all)\s+)?(?:\w+\s*\.\s*)?\*", re.IGNORECASE)
_READS = re.compile(r"\bfrom\b", re.IGNORECASE)


def tally(records: Sequence[Record]) -> Tally:
    """How a phase's rollouts ended, over those that count.

    `outcomes`, `turn_counts` and `stops` are counts by name. `select_star`, `constant`, `empty_matches` and `main_only`
    are counts of rollouts; `suites` says how many were judged on more than one database. `query_seconds_p95` and
    `query_seconds_max` are wall seconds of the queries that the agent ran, None where none was timed.
    """
    counted = [record for record in records if not record["failed"]]
    answers = [final_sql(record) for record in counted]
    seconds = sorted(
        float(turn["seconds"]) for record in counted for turn in record.get("path", ()) if turn.get("seconds")
    )
    return {
        "outcomes": dict(Counter(str(record["outcome"]) for record in counted).most_common()),
        "turn_counts": {str(turns): count for turns, count in sorted(Counter(r["turns"] for r in counted).items())},
        "stops": dict(Counter(str(record["stop"]) for record in counted if record.get("stop")).most_common()),
        "select_star": sum(sql is not None and selects_star(sql) for sql in answers),
        "constant": sum(sql is not None and is_constant(sql) for sql in answers),
        "empty_matches": sum(bool(record.get("empty_match")) for record in counted),
        "main_only": sum(_main_only(record) for record in counted),
        "suites": sum(int(record.get("databases_total", 0)) > 1 for record in counted),
        "query_seconds_p95": seconds[int(0.95 * (len(seconds) - 1))] if seconds else None,
        "query_seconds_max": seconds[-1] if seconds else None,
    }


def final_sql(record: Record) -> str | None:
    """The answer of a rollout: the last SQL that the model wrote, None when it wrote none."""
    written = cast("list[str | None]", record.get("sql") or [])
    return next((sql for sql in reversed(written) if sql is not None), None)


def selects_star(sql: str) -> bool:
    """Whether the query's first column is all columns, as in a dump of a table. `count(*)` is not."""
    return _STAR.match(_ASIDE.sub(" ", sql)) is not None


def is_constant(sql: str) -> bool:
    """Whether the query reads no table, so that its result was guessed."""
    return _READS.search(_ASIDE.sub(" x ", sql)) is None


def _main_only(record: Record) -> bool:
    """Whether the answer was right on the first database, which is the agent's own, and wrong on a variant."""
    return 0 < int(record.get("databases_passed", 0)) < int(record.get("databases_total", 0))
