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
from sql_reward.verdict import SchemaOverlap

Reads = frozenset[tuple[str, str]]
"""Pairs of table and column, in lower case."""


def reads_of(session: Session, sql: str, *, limits: Limits) -> Reads:
    """What the statement reads; the column is '' where only rows are counted. Compiles it, does not run it."""
    reads = set[tuple[str, str]]()
    explained = execute(session, sql, limits=limits, cpu_end=thread_time() + limits.deadline_s, reads=reads)
    return frozenset() if isinstance(explained, SqlFailure) else frozenset(reads)


def overlap_of(session: Session, gold_sql: str, predicted_sql: str, *, limits: Limits) -> SchemaOverlap:
    """How much of what the gold query reads the prediction reads too."""
    gold, predicted = (reads_of(session, sql, limits=limits) for sql in (gold_sql, predicted_sql))
    return SchemaOverlap(
        tables=_f1({table for table, _ in gold}, {table for table, _ in predicted}),
        columns=_f1({pair for pair in gold if pair[1]}, {pair for pair in predicted if pair[1]}),
    )


def _f1(gold: Set[object], predicted: Set[object]) -> float:
    """Harmonic mean of precision and recall; two empty sets agree fully."""
    if not gold and not predicted:
        return 1.0
    return 2 * len(gold & predicted) / (len(gold) + len(predicted))
