"""Whether two results are the same by the official rules, without enumerating products of columns.

Pure: knows rows, not databases. The rules are those of `result_eq` in the test-suite evaluator (Zhong et al., 2020):
the columns may be permuted, all rows by the same permutation; rows count as often as they occur; values are equal as
in Python, so 1 equals 1.0 and not '1'. Cost is bounded by trying only columns whose values agree, one of each set of
equal columns, and by checking the rows after each column.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import chain

Cell = str | int | float | bytes | None
Row = tuple[Cell, ...]
"""One row of a result, or one column: both are tuples of cells."""
Tick = Callable[[], None]
"""Called between pieces of work; raises when the time is up."""


def no_tick() -> None:
    """The clock of those who have time."""


class Table:
    """A result of at least one row with what comparing needs of it, each worked out once."""

    __slots__ = ("_bag", "_columns", "_has_float", "rows")

    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows
        self._bag: Counter[Row] | None = None
        self._columns: list[Row] | None = None
        self._has_float: bool | None = None

    @property
    def bag(self) -> Counter[Row]:
        """How often each row occurs."""
        if self._bag is None:
            self._bag = Counter(self.rows)
        return self._bag

    @property
    def columns(self) -> list[Row]:
        """The columns as tuples, in order."""
        if self._columns is None:
            self._columns = list(zip(*self.rows, strict=True))
        return self._columns

    @property
    def has_float(self) -> bool:
        """Whether any cell is a float."""
        if self._has_float is None:
            self._has_float = has_float(self.rows)
        return self._has_float


def has_float(rows: list[Row]) -> bool:
    """Whether any cell is a float."""
    return float in set(map(type, chain.from_iterable(rows)))


def same_rows(
    gold: Sequence[Row] | Table, predicted: Sequence[Row] | Table, *, ordered: bool, tick: Tick = no_tick
) -> bool:
    """Whether some permutation of the predicted columns gives the gold rows, in sequence if `ordered`, else as a bag.

    Two empty results are the same whatever their columns. Each input is (rows, columns) with rows of equal length.
    """
    gold = gold if isinstance(gold, Table) else Table(list(gold))
    predicted = predicted if isinstance(predicted, Table) else Table(list(predicted))
    if not gold.rows and not predicted.rows:
        return True
    if len(gold.rows) != len(predicted.rows) or len(gold.rows[0]) != len(predicted.rows[0]):
        return False
    same = _same_sequence(gold, predicted) if ordered else _same_bag(gold, predicted, tick)
    return same and _passes_quick_rejection(gold, predicted, ordered=ordered)


def _same_sequence(gold: Table, predicted: Table) -> bool:
    if gold.rows == predicted.rows:
        return True
    return len(gold.rows[0]) > 1 and Counter(gold.columns) == Counter(predicted.columns)


def _same_bag(gold: Table, predicted: Table, tick: Tick) -> bool:
    if gold.rows == predicted.rows or gold.bag == predicted.bag:
        return True
    return len(gold.rows[0]) > 1 and columns_fit(gold.columns, predicted.columns, tick=tick)


def columns_fit(
    gold: Sequence[Row],
    predicted: Sequence[Row],
    *,
    gold_groups: Sequence[int] | None = None,
    predicted_groups: Sequence[int] | None = None,
    tick: Tick = no_tick,
) -> bool:
    """Whether predicted columns can be assigned to gold columns, one to one, so that each predicted row is a gold row.

    Rows count as often as they occur; with as many gold rows as predicted ones the two bags are then equal. Inputs are
    (columns, rows). Groups number the rows, and a row fits only one of its own group.
    """
    equal_size = len(gold[0]) == len(predicted[0])
    gold_bags = [frozenset(Counter(column).items()) if equal_size else None for column in gold]
    predicted_bags = [frozenset(Counter(column).items()) if equal_size else None for column in predicted]
    if Counter(gold_bags) != Counter(predicted_bags):
        return False
    rarity = Counter(gold_bags)
    # Columns with the fewest candidates first: a wrong choice then shows after few steps.
    order = sorted(range(len(gold)), key=lambda index: rarity[gold_bags[index]])
    free = Counter(predicted)

    def extend(depth: int, gold_keys: Sequence[int], predicted_keys: Sequence[int]) -> bool:
        """Assign the columns from `depth` on. The keys number the distinct rows of the columns assigned so far."""
        if depth == len(order):
            return True
        index = order[depth]
        tried: set[Row] = set()
        for column, bag in zip(predicted, predicted_bags, strict=True):
            if bag != gold_bags[index] or not free[column] or column in tried:
                continue
            tick()
            tried.add(column)
            numbers: dict[tuple[int, Cell], int] = {}
            next_gold = [numbers.setdefault(pair, len(numbers)) for pair in zip(gold_keys, gold[index], strict=True)]
            next_predicted = [numbers.get(pair, -1) for pair in zip(predicted_keys, column, strict=True)]
            if -1 in next_predicted or not _fits(Counter(next_gold), Counter(next_predicted), equal_size):
                continue
            free[column] -= 1
            if extend(depth + 1, next_gold, next_predicted):
                return True
            free[column] += 1
        return False

    return extend(0, gold_groups or [0] * len(gold[0]), predicted_groups or [0] * len(predicted[0]))


def _fits(gold: Counter[int], predicted: Counter[int], equal_size: bool) -> bool:
    return gold == predicted if equal_size else predicted <= gold


def _passes_quick_rejection(gold: Table, predicted: Table, *, ordered: bool) -> bool:
    """The official `quick_rej`: each row sorted by the text of its cells must agree before columns are looked at.

    It refuses some equal results, (10, 100) against (10.0, 100), as '10' and '10.0' sort differently against '100'.
    Only floats can bring that about, and only beside another cell, so other results skip it.
    """
    if len(gold.rows[0]) == 1 or (not gold.has_float and not predicted.has_float):
        return True
    gold_sorted, predicted_sorted = map(_unordered, gold.rows), map(_unordered, predicted.rows)
    return list(gold_sorted) == list(predicted_sorted) if ordered else set(gold_sorted) == set(predicted_sorted)


def _unordered(row: Row) -> Row:
    return tuple(sorted(row, key=_text_and_type))


def _text_and_type(cell: Cell) -> str:
    return str(cell) + str(type(cell))
