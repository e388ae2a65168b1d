"""The strict rules: order counts up to ties, and computed reals may differ by rounding.

Rows that tie come in any order; a LIMIT that cuts through a tie accepts any of its rows. What ties is found out by
`ties`; where that cannot be told, the rows must come as the gold query gave them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from math import isfinite
from typing import Final

from sql_reward.rules.compare import Cell, Row, Table, Tick, columns_fit
from sql_reward.rules.modes import Expected, first_difference, shape_difference
from sql_reward.rules.ties import plan_of
from sql_reward.sandbox.execute import Fetched, SqlFailure
from sql_reward.verdict import Outcome

RELATIVE_TOLERANCE: Final = 1e-6
ABSOLUTE_TOLERANCE: Final = 1e-9
"""For sums that cancel out to nearly nothing."""
WHOLE_TOLERANCE: Final = 1e-3
"""A real equals a whole number only within this, so that ten million and a half is not ten million."""


def strict_expected(gold_sql: str, run: Callable[[str], Fetched | SqlFailure]) -> Expected | SqlFailure:
    """What the gold query expects on the database that `run` runs statements on, or why the gold query fails there."""
    gold = run(gold_sql)
    if isinstance(gold, SqlFailure):
        return gold
    plan = plan_of(gold_sql, gold.columns)
    opened = _first_accepted(plan.statements, run) if gold.rows else None
    if opened is not None:
        groups = [int(str(row[-1])) for row in opened.rows]
        window = groups[plan.offset : plan.offset + len(gold.rows)]
        wanted = set(window)
        kept = [index for index, group in enumerate(groups) if group in wanted]
        expected = StrictExpected(
            gold,
            rows=[opened.rows[index][:-1] for index in kept],
            row_groups=[groups[index] for index in kept],
            place_groups=window,
            tolerant=plan.computed,
        )
        if len(window) == len(gold.rows) and not expected.difference(gold, lambda: None):
            return expected
    places = list(range(len(gold.rows))) if plan.ordered else [0] * len(gold.rows)
    return StrictExpected(gold, rows=gold.rows, row_groups=places, place_groups=places, tolerant=plan.computed)


def _first_accepted(statements: Iterable[str], run: Callable[[str], Fetched | SqlFailure]) -> Fetched | None:
    """The rows of the first statement that compiles; None if none does, or it does not run to its end."""
    for statement in statements:
        found = run(statement)
        if isinstance(found, Fetched):
            return found
        if found.outcome is not Outcome.SQL_ERROR:
            return None
    return None


class StrictExpected:
    """By the strict rules: each place of the result takes a row of its tie, and each row at most once."""

    def __init__(
        self, gold: Fetched, *, rows: list[Row], row_groups: list[int], place_groups: list[int], tolerant: bool
    ) -> None:
        self.model = gold
        self.empty = not gold.rows
        self.size_bytes = 3 * gold.size_bytes + 64 * len(rows)
        self._gold = Table(gold.rows)
        self._columns = Table(rows).columns if rows else []
        self._row_groups = row_groups
        self._place_groups = place_groups
        self._tolerant = tolerant

    def equals(self, predicted: Fetched) -> bool:
        """Whether the rows are the gold's as they stand: each then fits its own place."""
        return predicted.rows == self.model.rows

    def difference(self, predicted: Fetched, tick: Tick) -> str:
        """Where the prediction first differs; '' if it does not."""
        if wrong := shape_difference(self.model, predicted):
            return wrong
        if self.empty:
            return ""
        gold, columns = self._columns, list(zip(*predicted.rows, strict=True))
        if self._tolerant:
            gold, columns = _snapped(gold, columns)
        fits = columns_fit(gold, columns, gold_groups=self._row_groups, predicted_groups=self._place_groups, tick=tick)
        return "" if fits else first_difference(self._gold, predicted.rows, ordered=len(set(self._place_groups)) > 1)


def _snapped(*tables: Sequence[Row]) -> list[list[Row]]:
    """The tables with numbers that differ by rounding only replaced by one of them.

    Two whole numbers never become one, written as reals or not, and infinity stays what it is. A number that is not
    whole becomes the nearest whole number of the tables, if that is near enough, or else the least of its neighbours.
    """
    numbers = sorted(
        {
            cell
            for columns in tables
            for column in columns
            for cell in column
            if isinstance(cell, (int, float)) and isfinite(cell)
        }
    )
    wholes = [number for number in numbers if isinstance(number, int) or number.is_integer()]
    anchors: dict[Cell, Cell] = {}
    anchor: float | None = None
    for number in numbers:
        if isinstance(number, int) or number.is_integer():
            continue
        place = bisect_left(wholes, number)
        nearest = min(wholes[max(0, place - 1) : place + 1], key=lambda whole: abs(whole - number), default=None)
        if nearest is not None and _is_close(nearest, number) and abs(nearest - number) <= _near_whole(number):
            anchors[number] = nearest
            continue
        if anchor is None or not _is_close(anchor, number):
            anchor = number
        anchors[number] = anchor
    return [[tuple([anchors.get(cell, cell) for cell in column]) for column in columns] for columns in tables]


def _near_whole(number: float) -> float:
    """How far a computed real may be from the whole number that it stands for."""
    return max(WHOLE_TOLERANCE, 1e-9 * abs(number))


def _is_close(one: float, other: float) -> bool:
    return abs(other - one) <= max(RELATIVE_TOLERANCE * abs(other), ABSOLUTE_TOLERANCE)
