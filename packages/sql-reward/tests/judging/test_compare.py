"""Comparing results: the properties that hold for all of them, and the sizes that must not hurt."""

import itertools
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sql_reward.rules.compare import Row, columns_fit, same_rows

CELLS = st.one_of(st.none(), st.integers(-2, 2), st.sampled_from(["", "a", "1", "é"]), st.sampled_from([b"", b"a"]))
FLOATS = st.sampled_from([1, 1.0, 10, 10.0, 100, -0.0, 0, 0.5, "1", None])


def tables(cells: st.SearchStrategy[object] = CELLS, *, columns: int = 4) -> st.SearchStrategy[list[Row]]:
    """Results of up to five rows, as lists of tuples of one length."""
    return st.integers(1, columns).flatmap(lambda width: st.lists(st.tuples(*[cells] * width), max_size=5))


def official(gold: list[Row], predicted: list[Row], *, ordered: bool) -> bool:
    """The definition, by trying every permutation: the rules of `result_eq`, quick rejection included."""
    if not gold and not predicted:
        return True
    if len(gold) != len(predicted) or len(gold[0]) != len(predicted[0]):
        return False

    def flat(rows: list[Row]) -> list[Row]:
        return [tuple(sorted(row, key=lambda cell: str(cell) + str(type(cell)))) for row in rows]

    if flat(gold) != flat(predicted) if ordered else set(flat(gold)) != set(flat(predicted)):
        return False
    for order in itertools.permutations(range(len(gold[0]))):
        moved = [tuple(row[index] for index in order) for row in predicted]
        if gold == moved if ordered else Counter(gold) == Counter(moved):
            return True
    return False


@given(rows=tables(), seed=st.integers(), ordered=st.booleans())
def test_column_order_is_free(rows: list[Row], seed: int, ordered: bool) -> None:
    """Shuffling the columns of a result never changes that it matches itself."""
    order = list(range(len(rows[0]) if rows else 0))
    random.Random(seed).shuffle(order)
    assert same_rows(rows, [tuple(row[index] for index in order) for row in rows], ordered=ordered)


@given(rows=tables(), seed=st.integers())
def test_row_order_is_free_unless_ordered(rows: list[Row], seed: int) -> None:
    """Shuffling the rows never changes an unordered match."""
    shuffled = list(rows)
    random.Random(seed).shuffle(shuffled)
    assert same_rows(rows, shuffled, ordered=False)


@given(rows=tables(), data=st.data())
def test_duplicates_count(rows: list[Row], data: st.DataObject) -> None:
    """Duplicating a row is a mismatch, even in place of another."""
    if rows:
        row = data.draw(st.sampled_from(rows))
        assert not same_rows(rows, [*rows, row], ordered=False)
        other = [*rows[1:], row]
        assert same_rows(rows, other, ordered=False) is (
            Counter(rows) == Counter(other) or official(rows, other, ordered=False)
        )


@given(gold=tables(), predicted=tables(), ordered=st.booleans())
def test_agrees_with_the_definition(gold: list[Row], predicted: list[Row], ordered: bool) -> None:
    """Any two results compare as they do when every permutation of columns is tried."""
    assert same_rows(gold, predicted, ordered=ordered) is official(gold, predicted, ordered=ordered)


@given(data=st.data(), ordered=st.booleans())
def test_near_matches_agree_with_the_definition(data: st.DataObject, ordered: bool) -> None:
    """So do results that differ by a permutation and one cell, with numbers that are equal and print differently."""
    gold = data.draw(tables(FLOATS).filter(bool))
    order = data.draw(st.permutations(range(len(gold[0]))))
    predicted = [[row[index] for index in order] for row in gold]
    if data.draw(st.booleans()):
        place = data.draw(st.integers(0, len(gold) - 1)), data.draw(st.integers(0, len(order) - 1))
        predicted[place[0]][place[1]] = data.draw(FLOATS)
    moved = [tuple(row) for row in data.draw(st.permutations(predicted))]
    assert same_rows(gold, moved, ordered=ordered) is official(gold, moved, ordered=ordered)


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("width", [10, 30, 200])
def test_equal_columns_cost_nothing(width: int, ordered: bool) -> None:
    """Many identical columns, or many of one domain, are compared in few pieces of work, not in a factorial of them."""
    pieces = 0

    def tick() -> None:
        nonlocal pieces
        pieces += 1
        assert pieces <= 4 * width * width

    same = [(number,) * width for number in range(50)]
    latin = [tuple((row + column) % width for column in range(width)) for row in range(width)]
    assert same_rows(same, list(reversed(same)), ordered=False, tick=tick)
    assert same_rows(same, same, ordered=ordered, tick=tick)
    assert same_rows(latin, [tuple(reversed(row)) for row in latin], ordered=ordered, tick=tick)
    assert not same_rows(latin, [*latin[:-1], latin[0]], ordered=ordered, tick=tick)


def test_a_row_fits_within_its_group() -> None:
    """With groups, a row takes a place of its own group only, and more gold rows than places leave a choice."""
    gold = [("a", "b", "c", "d")]
    groups = [0, 0, 1, 1]
    assert columns_fit(gold, [("b", "a", "d")], gold_groups=groups, predicted_groups=[0, 0, 1])
    assert not columns_fit(gold, [("a", "c", "d")], gold_groups=groups, predicted_groups=[0, 0, 1])
    assert not columns_fit(gold, [("b", "a", "a")], gold_groups=groups, predicted_groups=[0, 0, 1])


def test_tick_can_end_it() -> None:
    """The clock is asked between columns."""

    def ring() -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        same_rows([(1, 2), (2, 1)], [(2, 2), (1, 1)], ordered=False, tick=ring)
