"""Check every gold query by judging the gold query itself as the prediction.

Each distinct gold is judged against itself on every file of its suite, under the limits of training, so whatever the
judge would say of a perfect answer is said here first: that the gold fails, that a perfect answer times out or does
not match (a query that asks the clock), that the answer is empty. On top, a query whose answer the order of equal
rows decides is counted, because a right query that is written differently can look wrong there.
"""

# sqlglot's nodes are only partly typed: their arguments are Any or unknown.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from spider_data import DatabaseCatalog, SpiderTask
from sql_reward import GoldSqlError, Limits, Outcome, Rows, judge, run_sql

Node: TypeAlias = Any
"""A node of sqlglot's tree."""

WORTH_A_POOL = 600
"""Files times golds below which a second process costs more than it saves."""
GOLD_DEADLINE_S = 10.0
"""Beyond it a gold is given up here; training would wait a minute, but a perfect answer has 5 s anyway."""
TIE_ROWS = 5_000
"""Rows looked at for ties where the query has no LIMIT."""


class Trouble(StrEnum):
    """The faults that a gold query can have."""

    FAILS = "fails"
    """It gives no result on some file; its rollouts would be dropped."""
    TIMES_OUT = "times out"
    """A perfect answer is stopped at the deadline of predictions."""
    UNSTABLE = "unstable"
    """It does not match itself: two runs give two results."""
    EMPTY = "empty"
    """Its result is empty on every file, so any query without a result matches."""
    TIED = "tied"
    """Equal sort keys leave the order or the choice of its rows open on some file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldFault:
    """One fault of one gold query."""

    trouble: Trouble
    tasks: tuple[str, ...]
    """Ids of the tasks that have this query."""
    detail: str = ""
    """The file and SQLite's message; no query text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldAudit:
    """The faults of all gold queries."""

    golds: int
    """Distinct pairs of database and query among the tasks."""
    looked_at: int
    """How many of those were checked in time."""
    tasks: int
    seconds: float
    faults: tuple[GoldFault, ...] = field(default=())

    def tasks_with(self, *troubles: Trouble) -> tuple[str, ...]:
        """Ids of the tasks with any of these troubles, in order, each once."""
        return tuple(dict.fromkeys(task for each in self.faults if each.trouble in troubles for task in each.tasks))


@dataclass(frozen=True, slots=True)
class _Job:
    gold: str
    files: tuple[Path, ...]
    tasks: tuple[str, ...]


def audit_golds(
    tasks: Sequence[SpiderTask],
    catalog: DatabaseCatalog,
    *,
    limits: Limits | None = None,
    budget_s: float = 100.0,
    jobs: int | None = None,
    on_gold: Callable[[int, int], None] = lambda done, total: None,
) -> GoldAudit:
    """Judge each distinct gold of `tasks` against itself on its suite, until `budget_s` seconds have passed.

    Every task's database must be in the catalog. `jobs` processes share the work (one per core by default).
    `on_gold` hears how many golds are done, of how many.

    Raises:
        sql_reward.DatabaseUnreadableError: a database file is damaged; see `spider-data check`.
    """
    started = time.monotonic()
    limits = limits or Limits(gold_deadline_s=GOLD_DEADLINE_S)
    work = _distinct(tasks, catalog)
    faults: list[GoldFault] = []
    done = 0
    for found in _judged(work, limits, jobs or os.cpu_count() or 1):
        faults += found
        done += 1
        on_gold(done, len(work))
        if time.monotonic() - started > budget_s:
            break
    return GoldAudit(
        golds=len(work),
        looked_at=done,
        tasks=len(tasks),
        seconds=time.monotonic() - started,
        faults=tuple(faults),
    )


def _distinct(tasks: Sequence[SpiderTask], catalog: DatabaseCatalog) -> list[_Job]:
    ids: dict[tuple[str, str], list[str]] = {}
    for task in tasks:
        ids.setdefault((task.db_id, task.query), []).append(task.task_id)
    suites = {db_id: catalog.suite(db_id) for db_id in {db_id for db_id, _ in ids}}
    return [_Job(query, suites[db_id], tuple(names)) for (db_id, query), names in ids.items()]


def _judged(work: Sequence[_Job], limits: Limits, jobs: int) -> Iterator[list[GoldFault]]:
    files = sum(len(job.files) for job in work)
    if jobs < 2 or files < WORTH_A_POOL:
        yield from (_look(job, limits) for job in work)
        return
    pool = ProcessPoolExecutor(
        jobs, mp_context=multiprocessing.get_context("fork"), initializer=signal.signal, initargs=_NO_SIGINT
    )
    try:
        yield from pool.map(_look, work, [limits] * len(work), chunksize=8)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_NO_SIGINT = (signal.SIGINT, signal.SIG_IGN)
"""The terminal sends Ctrl-C to the workers too; the process that started them ends them."""


def _look(job: _Job, limits: Limits) -> list[GoldFault]:
    """Return what is wrong with one gold query."""

    def fault(trouble: Trouble, detail: str = "") -> list[GoldFault]:
        return [GoldFault(trouble=trouble, tasks=job.tasks, detail=detail)]

    try:
        verdict = judge(job.gold, job.gold, job.files, limits=limits)
    except GoldSqlError as error:
        trouble = Trouble.TIMES_OUT if "deadline" in error.reason else Trouble.FAILS
        return fault(trouble, f"{error.database.name}: {error.reason}")
    if verdict.outcome is Outcome.TIMEOUT:
        return fault(Trouble.TIMES_OUT, f"stopped after {limits.deadline_s:g} s of processor time")
    if not verdict.matched:
        return fault(Trouble.UNSTABLE, verdict.detail)
    found = fault(Trouble.EMPTY) if verdict.gold_empty else []
    tied = [file.name for file in job.files if is_tied(job.gold, file, limits)]
    return found + (fault(Trouble.TIED, ", ".join(tied)) if tied else [])


def is_tied(gold: str, file: Path, limits: Limits) -> bool:
    """Whether equal sort keys leave the gold's answer open on this file.

    Of the rows that the LIMIT takes and those next to them, no two neighbours that look different may have equal keys.
    A query that sqlglot cannot parse or rewrite counts as not tied.
    """
    probe = _probe(gold)
    if probe is None:
        return False
    rows = run_sql(file, probe.sql, limits=limits)
    if not isinstance(rows, Rows):  # DISTINCT and set operations do not allow the extra columns
        return False
    shown = rows.rows[max(0, probe.start - 1) : TIE_ROWS if probe.end is None else probe.end + 1]
    return any(
        all(one[key] == other[key] for key in probe.keys) and one[: probe.width] != other[: probe.width]
        for one, other in pairwise(shown)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Probe:
    """A query without its LIMIT and with those sort keys as last columns that it does not select itself."""

    sql: str
    width: int
    """The columns that the query itself selects."""
    keys: tuple[int, ...]
    """The positions of the sort keys among the columns."""
    start: int
    end: int | None
    """The rows that LIMIT and OFFSET take."""


def _probe(gold: str) -> _Probe | None:
    try:
        tree = sqlglot.parse_one(gold, read="sqlite")
    except (SqlglotError, RecursionError):
        return None
    if not isinstance(tree, exp.Select) or tree.args.get("order") is None:
        return None
    if any(column.is_star for column in tree.expressions):
        return None
    start, limit = _number(tree.args.get("offset"), 0), _number(tree.args.get("limit"), -1)
    if start is None or limit is None:
        return None
    columns = list(tree.expressions)
    probe = tree.copy()
    keys: list[int] = []
    for ordered in tree.args["order"].expressions:
        place = _place(ordered.this, columns)
        if place is None:
            place = len(probe.expressions)
            probe = probe.select(ordered.this.copy(), copy=False)
        keys.append(place)
    probe.set("limit", None)
    probe.set("offset", None)
    end = start + limit if limit >= 0 else None
    return _Probe(sql=probe.sql(dialect="sqlite"), width=len(columns), keys=tuple(keys), start=start, end=end)


def _place(key: Node, columns: Sequence[Node]) -> int | None:
    """Which column a sort key is, by number or by name; None if it is none of them."""
    if isinstance(key, exp.Literal) and key.is_int:
        return int(key.this) - 1 if 0 < int(key.this) <= len(columns) else None
    for place, column in enumerate(columns):
        named = isinstance(key, exp.Column) and not key.table and key.name.lower() == column.alias_or_name.lower()
        if named or column.unalias() == key:
            return place
    return None


def _number(clause: Node | None, absent: int) -> int | None:
    """The number that a LIMIT or OFFSET names, `absent` where there is none, None where it is no plain number."""
    if clause is None:
        return absent
    value = clause.args.get("expression")
    return int(value.this) if isinstance(value, exp.Literal) and value.is_int else None
