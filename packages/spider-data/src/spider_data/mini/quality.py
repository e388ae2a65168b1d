"""Is a gold query worth asking about? Judged by running it.

A question whose answer is empty, NULL or zero rewards any query that finds nothing; one whose answer depends on the
order in which SQLite happens to meet equal rows punishes right queries.
"""

from __future__ import annotations

import sqlite3
from functools import lru_cache

import sqlglot
from sqlglot import exp


def says_something(rows: list[tuple[object, ...]]) -> bool:
    """Whether a result has rows, and is more than a lone zero or nothing but NULL."""
    if not rows or all(value is None for row in rows for value in row):
        return False
    return len(rows) > 1 or any(value not in (None, 0) for value in rows[0])


def is_tied(connection: sqlite3.Connection, query: str) -> bool:
    """Whether equal sort keys leave the answer of a query open on this database.

    With LIMIT the rows on both sides of the cut must differ in their key; without it no two neighbours with
    different output may share one. A query without ORDER BY at its top is never tied.
    """
    probe = _probe(query)
    if probe is None:
        return False
    sql, width, limit = probe
    rows = connection.execute(sql).fetchall()
    keys = [row[width:] for row in rows]
    outputs = [row[:width] for row in rows]
    for i in range(1, len(rows)):
        if limit is not None and i > limit:
            break
        if keys[i] == keys[i - 1] and outputs[i] != outputs[i - 1]:
            return True
    return False


@lru_cache(maxsize=8192)
def _probe(query: str) -> tuple[str, int, int | None] | None:
    """The query with its sort keys as further columns and without LIMIT, its own width, and the limit."""
    if "ORDER BY" not in query:
        return None
    tree = sqlglot.parse_one(query, read="sqlite")
    order, limit = tree.args.get("order"), tree.args.get("limit")
    if not isinstance(tree, exp.Select) or order is None:
        return None
    width = len(tree.expressions)
    count = int(limit.expression.name) if limit is not None else None
    for ordered in order.expressions:
        tree = tree.select(ordered.this.copy())
    tree.set("limit", None)
    return tree.sql("sqlite"), width, count
