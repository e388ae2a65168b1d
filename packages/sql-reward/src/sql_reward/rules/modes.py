"""By which rules two results are the same, and what a gold result expects of a prediction under each."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from sql_reward.rules.compare import Cell, Row, Table, Tick, has_float, same_rows
from sql_reward.sandbox.execute import Fetched


class Rules(StrEnum):
    """A set of rules for comparing."""

    OFFICIAL = "official"
    """Spider's test-suite evaluator (Zhong et al., 2020). Departures are listed in docs/reward.md, each with its
    reason."""
    STRICT = "strict"
    """As a careful reader would: DISTINCT counts, order counts up to ties of the gold's sort keys, computed reals may
    differ by a millionth, one statement only."""
    BIRD = "bird"
    """BIRD's execution accuracy: the sets of rows are equal, columns in order."""


class Expected(Protocol):
    """What the gold query's result on one database expects of a prediction's."""

    @property
    def model(self) -> Fetched | None:
        """A result of the only shape that can agree, None when several can."""
        ...

    @property
    def empty(self) -> bool:
        """Whether the gold result has no rows."""
        ...

    @property
    def size_bytes(self) -> int:
        """Memory this takes, roughly."""
        ...

    def equals(self, predicted: Fetched) -> bool:
        """Whether the prediction agrees at first sight. False decides nothing."""
        ...

    def difference(self, predicted: Fetched, tick: Tick) -> str:
        """Where the prediction first differs, in a few words; '' if it does not."""
        ...


class OfficialExpected:
    """By the official rules."""

    __slots__ = ("_ordered", "_table", "empty", "model")

    def __init__(self, gold: Fetched, *, ordered: bool) -> None:
        self.model = gold
        self.empty = not gold.rows
        self._ordered = ordered
        self._table: Table | None = None

    @property
    def size_bytes(self) -> int:
        """Memory this takes, roughly."""
        return 3 * self.model.size_bytes

    def equals(self, predicted: Fetched) -> bool:
        """Whether the rows are the gold's as they stand, which most right predictions show."""
        rows, gold_rows = predicted.rows, self.model.rows
        return rows == gold_rows and (not rows or len(rows[0]) == 1 or not has_float(rows + gold_rows))

    def difference(self, predicted: Fetched, tick: Tick) -> str:
        """Where the prediction first differs, in a few words; '' if it does not."""
        if wrong := shape_difference(self.model, predicted):
            return wrong
        table = self._table = self._table or Table(self.model.rows)
        if same_rows(table, Table(predicted.rows), ordered=self._ordered, tick=tick):
            return ""
        return first_difference(table, predicted.rows, ordered=self._ordered)


class BirdExpected:
    """By BIRD's rule."""

    model = None

    def __init__(self, gold: Fetched) -> None:
        self.rows = set(gold.rows)
        self.empty = not gold.rows
        self.size_bytes = 2 * gold.size_bytes

    def equals(self, predicted: Fetched) -> bool:
        """Whether the sets of rows are equal."""
        return set(predicted.rows) == self.rows

    def difference(self, predicted: Fetched, tick: Tick) -> str:
        rows = set(predicted.rows)
        if rows == self.rows:
            return ""
        return f"{len(rows - self.rows)} rows too many, {len(self.rows - rows)} missing"


def shape_difference(gold: Fetched, predicted: Fetched) -> str:
    """What is wrong with the shape of a result; '' if nothing is. An empty result has no width."""
    if gold.rows and len(predicted.described) != len(gold.described):
        return f"{len(predicted.described)} columns instead of {len(gold.described)}"
    if len(predicted.rows) > len(gold.rows):
        return f"more than {len(gold.rows)} rows"
    if len(predicted.rows) < len(gold.rows):
        return f"{len(predicted.rows)} rows instead of {len(gold.rows)}"
    return ""


def first_difference(gold: Table, predicted: list[Row], *, ordered: bool) -> str:
    """The first row that is not as expected, with the columns as they stand."""
    if ordered:
        for number, (row, expected) in enumerate(zip(predicted, gold.rows, strict=True), start=1):
            if row != expected:
                return f"row {number} differs: {_short(row)}"
    for number, row in enumerate(predicted, start=1):
        if row not in gold.bag:
            return f"row {number} is not expected: {_short(row)}"
    return "some rows occur too often"


def _short(row: Row, cells: int = 4) -> str:
    shown = ", ".join(map(_short_cell, row[:cells]))
    return f"({shown}, …)" if len(row) > cells else f"({shown})"


def _short_cell(cell: Cell, length: int = 20) -> str:
    text = "NULL" if cell is None else repr(cell[: length + 1] if isinstance(cell, (str, bytes)) else cell)
    return text if len(text) <= length + 2 else text[:length] + "…"
