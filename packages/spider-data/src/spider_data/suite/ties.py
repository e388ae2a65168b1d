"""Does the order of equal rows decide a query's answer?

`ORDER BY age LIMIT 1` with two youngest people has two right answers, and SQLite happens to give one of them. On such a
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
    """A query with its sort keys as further columns and without its LIMIT."""

    sql: str
    width: int
    """Columns of the query itself; the sort keys follow."""
    limit: int | None


def tie_probe(tree: Node) -> TieProbe | None:
    """The probe for a parsed query; None when it has no ORDER BY at its top or its LIMIT is no plain number."""
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

    With LIMIT, the last row inside and the first one outside must differ in key or look the same; without it,
    no two neighbours that look different may share a key.
    """
    if probe is None:
        return False
    try:
        rows = connection.execute(probe.sql).fetchmany(5_000 if probe.limit is None else probe.limit + 1)
    except sqlite3.Error:  # DISTINCT or a set operation may not allow the extra columns; then nothing is known
        return False
    return any(
        one[probe.width :] == other[probe.width :] and one[: probe.width] != other[: probe.width]
        for one, other in pairwise(rows)
    )
