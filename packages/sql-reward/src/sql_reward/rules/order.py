"""The strict rules: what order and which rows the gold query leaves open, and how far computed reals may differ.

The gold query is parsed and run once more without its LIMIT and with its sort keys beside the columns. Rows with
equal keys are a tie and may come in any order; a LIMIT that cuts through a tie accepts any of its rows. Where that
cannot be told, the rows must come as the gold query gave them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from sql_reward.rules.compare import Cell, Row, Table, Tick, columns_fit
from sql_reward.rules.modes import Expected, first_difference, shape_difference
from sql_reward.sandbox.execute import Rows, Shape, SqlFailure

RELATIVE_TOLERANCE: Final = 1e-6
ABSOLUTE_TOLERANCE: Final = 1e-9
"""For sums that cancel out to nearly nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How to find out what a gold query leaves open."""

    ordered: bool
    """It has a top-level ORDER BY."""
    sql: str
    """The query without its top-level LIMIT and with its missing sort keys as last columns; '' if there is nothing to
    find."""
    keys: tuple[int, ...]
    """Where the sort keys are among the columns of `sql`; negative from the end."""
    added: int
    """How many columns `sql` has more than the gold query."""
    offset: int
    computed: bool
    """Some column is computed, so its reals carry rounding errors."""


@lru_cache(maxsize=1024)
def plan_of(gold_sql: str) -> Plan:
    """The plan for a gold query. A query that cannot be parsed is ordered if it says ORDER BY, and left as it is."""
    unknown = Plan(ordered="order by" in gold_sql.lower(), sql="", keys=(), added=0, offset=0, computed=True)
    try:
        statements = sqlglot.parse(gold_sql, read="sqlite")
    except (SqlglotError, RecursionError):
        return unknown
    tree = statements[0] if len(statements) == 1 else None
    if not isinstance(tree, exp.Query):
        return unknown
    order = tree.args.get("order")
    exact = Plan(ordered=order is not None, sql="", keys=(), added=0, offset=0, computed=_computes(tree))
    offset = _number(tree.args.get("offset"), default=0)
    if offset is None or (order is None and tree.args.get("limit") is None):
        return exact
    open_tree = tree.copy()
    open_tree.set("limit", None)
    open_tree.set("offset", None)
    keys: list[int] = []
    missing: list[exp.Expr] = []
    for ordered in order.expressions if order is not None else ():
        key = ordered.this
        index = _column_of(key, tree)
        if index is None:
            if not isinstance(open_tree, exp.Select) or tree.args.get("distinct") is not None:
                return exact
            missing.append(key)
        keys.append(index if index is not None else -len(missing))
    if isinstance(open_tree, exp.Select):
        for number, key in enumerate(reversed(missing)):
            open_tree.select(exp.alias_(key.copy(), f"sort_key_{number}"), append=True, copy=False)
    return Plan(
        ordered=order is not None,
        sql=open_tree.sql(dialect="sqlite"),
        keys=tuple(keys),
        added=len(missing),
        offset=offset,
        computed=exact.computed,
    )


def _number(clause: exp.Expr | None, *, default: int) -> int | None:
    if clause is None:
        return default
    value = clause.args.get("expression")
    return int(value.this) if isinstance(value, exp.Literal) and value.is_int else None


def _column_of(key: exp.Expr, tree: exp.Query) -> int | None:
    """Which result column a sort key is, by number, by name or as the same expression; None if it is none of them."""
    columns: Sequence[exp.Expr] = tree.selects
    if any(column.is_star for column in columns):
        return None
    if isinstance(key, exp.Literal) and key.is_int:
        return int(key.this) - 1 if 0 < int(key.this) <= len(columns) else None
    for index, column in enumerate(columns):
        named = isinstance(key, exp.Column) and not key.table and key.name.lower() == column.alias_or_name.lower()
        if named or column.unalias() == key:
            return index
    return None


def _computes(tree: exp.Query) -> bool:
    plain = (exp.Column, exp.Star, exp.Count, exp.Min, exp.Max, exp.Literal)
    return any(not isinstance(column.unalias(), plain) for column in tree.selects)


def strict_expected(gold_sql: str, run: Callable[[str], Rows | SqlFailure]) -> Expected | SqlFailure:
    """What the gold query expects on the database that `run` runs statements on, or why the gold query fails there."""
    gold = run(gold_sql)
    if isinstance(gold, SqlFailure):
        return gold
    plan = plan_of(gold_sql)
    opened = run(plan.sql) if plan.sql and gold.rows else None
    if isinstance(opened, Rows) and len(opened.columns) == len(gold.columns) + plan.added:
        groups = _number_runs([tuple([row[key] for key in plan.keys]) for row in opened.rows])
        rows = [row[: len(gold.columns)] for row in opened.rows]
        window = groups[plan.offset : plan.offset + len(gold.rows)]
        wanted = set(window)
        kept = [index for index, group in enumerate(groups) if group in wanted]
        expected = StrictExpected(
            gold,
            rows=[rows[index] for index in kept],
            row_groups=[groups[index] for index in kept],
            place_groups=window,
            tolerant=plan.computed,
        )
        if len(window) == len(gold.rows) and not expected.difference(gold, lambda: None):
            return expected
    places = list(range(len(gold.rows))) if plan.ordered else [0] * len(gold.rows)
    return StrictExpected(gold, rows=gold.rows, row_groups=places, place_groups=places, tolerant=plan.computed)


def _number_runs(keys: list[Row]) -> list[int]:
    """Number the rows by their sort keys: equal keys, equal number."""
    numbers: dict[Row, int] = {}
    return [numbers.setdefault(key, len(numbers)) for key in keys]


class StrictExpected:
    """By the strict rules: each place of the result takes a row of its tie, and each row at most once."""

    def __init__(
        self, gold: Rows, *, rows: list[Row], row_groups: list[int], place_groups: list[int], tolerant: bool
    ) -> None:
        self.shape = Shape(rows=len(gold.rows), columns=len(gold.columns))
        self.empty = not gold.rows
        self.size_bytes = 3 * gold.size_bytes + 64 * len(rows)
        self._gold = Table(gold.rows)
        self._columns = Table(rows).columns if rows else []
        self._row_groups = row_groups
        self._place_groups = place_groups
        self._tolerant = tolerant

    def difference(self, predicted: Rows, tick: Tick) -> str:
        """Where the prediction first differs; '' if it does not."""
        if wrong := shape_difference(self.shape, predicted):
            return wrong
        if self.empty:
            return ""
        gold, columns = self._columns, list(zip(*predicted.rows, strict=True))
        if self._tolerant:
            gold, columns = _snapped(gold, columns)
        fits = columns_fit(gold, columns, gold_groups=self._row_groups, predicted_groups=self._place_groups, tick=tick)
        return "" if fits else first_difference(self._gold, predicted.rows, ordered=len(set(self._place_groups)) > 1)


def _snapped(*tables: Sequence[Row]) -> list[list[Row]]:
    """The tables with numbers that differ by rounding only replaced by one of them. Two whole numbers never merge."""
    numbers = sorted(
        {cell for columns in tables for column in columns for cell in column if isinstance(cell, (int, float))}
    )
    anchors: dict[Cell, Cell] = {}
    anchor: int | float | None = None
    for number in numbers:
        close = anchor is not None and abs(number - anchor) <= max(RELATIVE_TOLERANCE * abs(number), ABSOLUTE_TOLERANCE)
        if anchor is None or not close or (isinstance(anchor, int) and isinstance(number, int)):
            anchor = number
        anchors[number] = anchor
    return [[tuple([anchors.get(cell, cell) for cell in column]) for column in columns] for columns in tables]
