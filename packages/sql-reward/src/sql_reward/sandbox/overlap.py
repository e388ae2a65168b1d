"""Which tables and columns a statement reads, told by SQLite itself while it compiles the statement.

No parser of our own: views, aliases and stars are resolved as they will run. A statement that does not compile reads
nothing.
"""

from __future__ import annotations

from collections.abc import Set
from time import thread_time

from sql_reward.sandbox.connections import Session
from sql_reward.sandbox.execute import SqlFailure, execute
from sql_reward.sandbox.limits import Limits
from sql_reward.sandbox.statement import Statement
from sql_reward.verdict import SchemaOverlap

Reads = frozenset[tuple[str, str]]
"""Pairs of table and column, in lower case."""


def reads_of(session: Session, statement: Statement, *, limits: Limits) -> Reads:
    """What the statement reads; the column is '' where only rows are counted. Compiles it, does not run it."""
    reads = set[tuple[str, str]]()
    now = thread_time()
    explained = execute(session, statement, limits, started=now, cpu_end=now + limits.deadline_s, reads=reads)
    return frozenset() if isinstance(explained, SqlFailure) else frozenset(reads)


def overlap_of(session: Session, gold: Statement, predicted: Statement, *, limits: Limits) -> SchemaOverlap:
    """How much of what the gold query reads the prediction reads too."""
    of_gold, of_predicted = (reads_of(session, statement, limits=limits) for statement in (gold, predicted))
    return SchemaOverlap(
        tables=_f1({table for table, _ in of_gold}, {table for table, _ in of_predicted}),
        columns=_f1({pair for pair in of_gold if pair[1]}, {pair for pair in of_predicted if pair[1]}),
    )


def _f1(gold: Set[object], predicted: Set[object]) -> float:
    """Harmonic mean of precision and recall; two empty sets agree fully."""
    if not gold and not predicted:
        return 1.0
    return 2 * len(gold & predicted) / (len(gold) + len(predicted))
