"""Whether two results are the same by the official rules, without enumerating products of columns.

Pure: knows rows, not databases. The rules are those of `result_eq` in the test-suite evaluator (Zhong et al., 2020): the
columns may be permuted, all rows by the same permutation; rows count as often as they occur; values are equal as in
Python, so 1 equals 1.0 and not '1'. Cost is bounded by trying only columns whose values agree, one of each set of equal
columns, and by checking the rows after each column.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import chain

from sql_reward.execute import Cell, Row

Tick = Callable[[], None]
"""Called between pieces of work; raises when the time is up."""


def _no_tick() -> None:
    return None


def same_rows(gold: Sequence[Row], predicted: Sequence[Row], *, ordered: bool, tick: Tick = _no_tick) -> bool:
    """Whether some permutation of the predicted columns gives the gold rows, in sequence if `ordered`, else as a bag.

    Two empty results are the same whatever their columns. Each input is (rows, columns) with rows of equal length.
    """
    if not gold and not predicted:
        return True
    if len(gold) != len(predicted) or len(gold[0]) != len(predicted[0]):
        return False
    same = _same_sequence(gold, predicted) if ordered else bool(_same_bag(gold, predicted, tick))
    return same and _passes_quick_rejection(gold, predicted, ordered=ordered)


def _same_sequence(gold: Sequence[Row], predicted: Sequence[Row]) -> bool:
    if gold == predicted:
        return True
    return Counter(zip(*gold, strict=True)) == Counter(zip(*predicted, strict=True))


def _same_bag(gold: Sequence[Row], predicted: Sequence[Row], tick: Tick) -> bool:
    if gold == predicted or Counter(gold) == Counter(predicted):
        return True
    if len(gold[0]) == 1:
        return False
    return matching_exists(list(zip(*gold, strict=True)), list(zip(*predicted, strict=True)), tick=tick)


def matching_exists(gold: list[Row], predicted: list[Row], *, tick: Tick = _no_tick) -> bool:
    """Whether predicted columns can be assigned to gold columns, one to one, so that the bags of rows agree.

    Both inputs are (columns, rows).
    """
    gold_bags = [frozenset(Counter(column).items()) for column in gold]
    predicted_bags = [frozenset(Counter(column).items()) for column in predicted]
    if Counter(gold_bags) != Counter(predicted_bags):
        return False
    # Columns with the fewest candidates first: a wrong choice then shows after few steps.
    rarity = Counter(gold_bags)
    order = sorted(range(len(gold)), key=lambda i: rarity[gold_bags[i]])
    rows = len(gold[0])
    free = Counter(predicted)

    def extend(depth: int, gold_keys: Sequence[int], predicted_keys: Sequence[int]) -> bool:
        """Assign the columns from `depth` on; the keys number the distinct prefixes of the rows so far."""
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
            if Counter(next_gold) != Counter(next_predicted):
                continue
            free[column] -= 1
            if extend(depth + 1, next_gold, next_predicted):
                return True
            free[column] += 1
        return False

    return extend(0, [0] * rows, [0] * rows)


def _passes_quick_rejection(gold: Sequence[Row], predicted: Sequence[Row], *, ordered: bool) -> bool:
    """The official `quick_rej`: each row sorted by the text of its cells must agree before columns are looked at.

    It refuses some equal results, (10, 100) against (10.0, 100), as '10' and '10.0' sort differently against '100'. Only
    floats can bring that about, so results without any skip it.
    """
    if float not in set(map(type, chain.from_iterable(gold))) | set(map(type, chain.from_iterable(predicted))):
        return True
    gold_sorted, predicted_sorted = map(_unordered, gold), map(_unordered, predicted)
    return list(gold_sorted) == list(predicted_sorted) if ordered else set(gold_sorted) == set(predicted_sorted)


def _unordered(row: Row) -> Row:
    return tuple(sorted(row, key=_text_and_type))


def _text_and_type(cell: Cell) -> str:
    return str(cell) + str(type(cell))
