"""Find ties: queries whose answer depends on the order of equal rows.

When two people are the youngest, `ORDER BY age LIMIT 1` has two right answers, and SQLite gives one of them. On such a
database a right query that is written differently can look wrong, so variants without ties are preferred.
"""

# sqlglot's nodes are only partly typed: their arguments are Any or unknown.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false, reportPrivateImportUsage=false, reportUnknownParameterType=false

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from itertools import pairwise

from sqlglot import exp

from spider_data.suite.golds import Node


@dataclass(frozen=True, slots=True, kw_only=True)
class TieProbe:
    """A query with its sort keys as additional columns and without its LIMIT."""

    sql: str
    width: int
    """Columns of the query itself; the sort keys follow."""
    limit: int | None


def tie_probe(tree: Node) -> TieProbe | None:
    """The probe for a parsed query; None when it has no top-level ORDER BY or its LIMIT is not a plain number."""
    if not isinstance(tree, exp.Select) or tree.args.get("order") is None:
        return None
    limit = tree.args.get("limit")
    count = limit.expression.name if limit is not None else ""
    if limit is not None and (not count.isdigit() or tree.args.get("offset") is not None):
        return None
    probe = tree.copy()
    for ordered in probe.args["order"].expressions:
        probe = probe.select(ordered.this.copy(), copy=False)
    probe.set("limit", None)
    return TieProbe(sql=probe.sql("sqlite"), width=len(tree.expressions), limit=int(count) if count else None)


def is_tied(connection: sqlite3.Connection, probe: TieProbe | None) -> bool:
    """Whether equal sort keys leave the answer open on this database.

    With LIMIT there is a tie when the last row inside and the first row outside have equal keys and different contents.
    Without LIMIT there is a tie when two neighbouring rows do.
    """
    if probe is None:
        return False
    try:
        rows = connection.execute(probe.sql).fetchmany(5_000 if probe.limit is None else probe.limit + 1)
    except sqlite3.Error:  # DISTINCT or a set operation may not allow the additional columns; then ties are unknown
        return False
    return any(
        one[probe.width :] == other[probe.width :] and one[: probe.width] != other[: probe.width]
        for one, other in pairwise(rows)
    )
