"""What order and which rows a gold query leaves open: SQLite itself numbers the rows that tie.

The gold query is parsed, its top-level ORDER BY and LIMIT are taken off, and SQLite ranks the rows by the same sort
keys. So two rows tie exactly when SQLite's own ORDER BY takes them for equal, whatever collation the key, an alias, a
COLLATE clause or the column's declaration gives.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Final

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

MAX_ALIASES: Final = 4
"""Aliases in sort keys for which every reading, alias or column, is tried."""
_OPENED: Final = "sql_reward_opened"
_PLAIN: Final = (exp.Column, exp.Star, exp.Count, exp.Literal, exp.Null)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How to find out what a gold query leaves open."""

    ordered: bool
    """It has a top-level ORDER BY."""
    statements: tuple[str, ...] = ()
    """Queries that give the rows without LIMIT, in order, with the number of their tie as one more column. The first
    that SQLite accepts is right; empty if there is nothing to find, or no way to find it."""
    offset: int = 0
    computed: bool = True
    """Some column is computed, so its reals carry rounding errors."""


@lru_cache(maxsize=1024)
def plan_of(gold_sql: str, columns: tuple[str, ...]) -> Plan:
    """The plan for a gold query with these result columns.

    A query that cannot be parsed is ordered if it says ORDER BY, and nothing is found out about it.
    """
    unknown = Plan(ordered="order by" in gold_sql.lower())
    try:
        parsed = sqlglot.parse(gold_sql, read="sqlite")
    except (SqlglotError, RecursionError):
        return unknown
    tree = parsed[0] if len(parsed) == 1 else None
    if not isinstance(tree, exp.Query):
        return unknown
    order = tree.args.get("order")
    computed = _computes(tree)
    offset = _offset(tree.args.get("offset"))
    if offset is None or (order is None and tree.args.get("limit") is None):
        return Plan(ordered=order is not None, computed=computed)
    return Plan(
        ordered=order is not None,
        statements=tuple(_ranking_statements(tree, order.expressions if order is not None else [], columns)),
        offset=offset,
        computed=computed,
    )


def _offset(clause: exp.Expr | None) -> int | None:
    """The number of rows that OFFSET skips; None where it is no plain number."""
    if clause is None:
        return 0
    value = clause.args.get("expression")
    return int(value.this) if isinstance(value, exp.Literal) and value.is_int else None


def _ranking_statements(tree: exp.Query, keys: Sequence[exp.Expr], columns: tuple[str, ...]) -> Iterator[str]:
    opened = tree.copy()
    for clause in ("order", "limit", "offset"):
        opened.set(clause, None)
    places: list[int | None] = [_place_of(_bare(key.this), tree, columns) for key in keys]
    hidden = [key.this for key, place in zip(keys, places, strict=True) if place is None]
    if hidden and (not isinstance(opened, exp.Select) or tree.args.get("distinct") is not None):
        return  # the rows of a set operation, or of a DISTINCT, have no such key
    for aliases in _readings(tree, hidden):
        ranked = opened.copy()
        if isinstance(ranked, exp.Select):
            for number, key in enumerate(hidden):
                written = key.transform(_written_out, aliases)
                ranked.select(exp.alias_(written, f"sort_key_{number}"), append=True, copy=False)
        yield _ranking(ranked, keys, places, len(columns))


def _ranking(opened: exp.Query, keys: Sequence[exp.Expr], places: Sequence[int | None], width: int) -> str:
    """Rank the rows of `opened`, whose columns are the `width` of the gold query and then the keys without a place."""
    shown = ", ".join(f"c{index}" for index in range(width))
    hidden = [f"k{number}" for number in range(places.count(None))]
    unplaced = iter(hidden)
    terms: list[str] = []
    for key, place in zip(keys, places, strict=True):
        term = key.copy()
        column = exp.column(next(unplaced) if place is None else f"c{place}")
        collate = key.this if isinstance(key.this, exp.Collate) else None
        term.set("this", exp.Collate(this=column, expression=collate.expression.copy()) if collate else column)
        terms.append(term.sql(dialect="sqlite"))
    rank = f"dense_rank() OVER (ORDER BY {', '.join(terms)})" if terms else "1"
    names = ", ".join([shown, *hidden])
    inner = opened.sql(dialect="sqlite")
    return f"WITH {_OPENED}({names}) AS ({inner}) SELECT {shown}, {rank} FROM {_OPENED} ORDER BY {width + 1}"


def _bare(key: exp.Expr) -> exp.Expr:
    """A sort key without its COLLATE clause, which does not change what it names."""
    return key.this if isinstance(key, exp.Collate) else key


def _place_of(key: exp.Expr, tree: exp.Query, columns: tuple[str, ...]) -> int | None:
    """Which result column a sort key is: by number, by name or as the same expression. None if it is none of them."""
    if isinstance(key, exp.Literal) and key.is_int:
        return int(key.this) - 1 if 0 < int(key.this) <= len(columns) else None
    selects = tree.selects
    named = isinstance(key, exp.Column) and not key.table
    if len(selects) == len(columns) and not any(column.is_star for column in selects):
        if named:
            for index, column in enumerate(selects):
                if isinstance(column, exp.Alias) and column.alias.lower() == key.name.lower():
                    return index
        for index, column in enumerate(selects):
            if column.unalias() == key:
                return index
    lowered = [name.lower() for name in columns]
    shown_only = not isinstance(tree, exp.Select) or tree.args.get("distinct") is not None
    return lowered.index(key.name.lower()) if named and shown_only and key.name.lower() in lowered else None


def _readings(tree: exp.Query, keys: Sequence[exp.Expr]) -> Iterator[dict[str, exp.Expr]]:
    """Which aliases inside sort keys are written out, fewest first.

    In an expression SQLite takes a name for a column, and for an alias only if there is no such column. So the first
    reading that compiles is SQLite's.
    """
    aliases = {column.alias.lower(): column.this for column in tree.selects if isinstance(column, exp.Alias)}
    used = {name.name.lower() for key in keys for name in key.find_all(exp.Column) if not name.table} & aliases.keys()
    names = sorted(used)
    sizes = range(len(names) + 1) if len(names) <= MAX_ALIASES else (0, len(names))
    for size in sizes:
        for chosen in combinations(names, size):
            yield {name: aliases[name] for name in chosen}


def _written_out(node: exp.Expr, aliases: dict[str, exp.Expr]) -> exp.Expr:
    if isinstance(node, exp.Column) and not node.table and (value := aliases.get(node.name.lower())) is not None:
        return exp.paren(value.copy())
    return node


def _computes(tree: exp.Query) -> bool:
    """Whether a result column may hold a computed number, in any half of a set operation or query it reads from."""
    if isinstance(tree, exp.Select):
        shown = [tree]
    else:
        halves = [half for half in (tree.args.get("this"), tree.args.get("expression")) if isinstance(half, exp.Query)]
        if any(map(_computes, halves)):
            return True
        shown = []
    sources = [part for part in tree.args.values() if isinstance(part, (exp.From, exp.With))]
    sources += tree.args.get("joins") or []
    shown += [query for source in sources for query in source.find_all(exp.Select)]
    return not all(_is_plain(column.unalias()) for query in shown for column in query.selects)


def _is_plain(value: exp.Expr) -> bool:
    """Whether a value is one that was stored or counted."""
    return _is_plain(value.this) if isinstance(value, (exp.Min, exp.Max, exp.Paren)) else isinstance(value, _PLAIN)
