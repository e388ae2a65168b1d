"""Judge one prediction against its gold query over one database or a suite of them.

Never raises on anything a prediction says; raises only for our own faults (a broken gold query, a database that is missing or
unreadable, a stalled machine). Stops at the first database that tells the two apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from time import thread_time

from sql_reward.compare import same_rows
from sql_reward.connections import identify, session_for
from sql_reward.errors import DatabaseNotFound, GoldSqlError
from sql_reward.execute import DEFAULT_LIMITS, Shape, SqlFailure, execute
from sql_reward.limits import Limits
from sql_reward.normalize import fix_current_year, join_operators, order_matters
from sql_reward.verdict import Outcome, Verdict


class Rules(StrEnum):
    """By which rules two results are the same."""

    OFFICIAL = "official"
    """Spider's test-suite evaluator, exactly; departures are listed in docs/reward.md."""
    STRICT = "strict"
    BIRD = "bird"


def suite(databases: Path | Sequence[Path]) -> tuple[Path, ...]:
    """The database files to judge on, main file first."""
    if not isinstance(databases, Path):
        return tuple(databases)
    if not databases.is_dir():
        return (databases,)
    main = f"{databases.name}.sqlite"
    files = sorted(databases.glob("*.sqlite"), key=lambda file: (file.name != main, len(file.name), file.name))
    if not files:
        raise DatabaseNotFound(databases, "a folder with *.sqlite files")
    return tuple(files)


def judge(
    predicted: str | None,
    gold: str,
    databases: Path | Sequence[Path],
    *,
    rules: Rules = Rules.OFFICIAL,
    keep_distinct: bool = False,
    limits: Limits | None = None,
    cache: object | None = None,
) -> Verdict:
    """Whether the prediction answers as the gold query does, on every database."""
    limits = limits or DEFAULT_LIMITS
    files = suite(databases)
    gold_sql = fix_current_year(join_operators(gold))
    sql = fix_current_year(join_operators(predicted or ""))
    ordered = order_matters(gold_sql)
    started = thread_time()
    for passed, file in enumerate(files):
        session = session_for(file, identify(file))
        expected = execute(session, gold_sql, limits=limits, cpu_end=thread_time() + limits.gold_deadline_s)
        if isinstance(expected, SqlFailure):
            raise GoldSqlError(file, gold_sql, expected.message)
        shape = Shape(rows=len(expected.rows), columns=len(expected.columns))
        rows = execute(session, sql, limits=limits, cpu_end=started + limits.deadline_s, expected=shape)
        if isinstance(rows, SqlFailure):
            return Verdict(outcome=rows.outcome, detail=rows.message, databases_passed=passed, databases_total=len(files))
        if not rows.complete or not same_rows(expected.rows, rows.rows, ordered=ordered):
            return Verdict(outcome=Outcome.MISMATCH, databases_passed=passed, databases_total=len(files))
    return Verdict(outcome=Outcome.MATCH, databases_passed=len(files), databases_total=len(files))
