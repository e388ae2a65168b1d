"""Intervals, tests, votes and pass@k: against published figures, brute force, and by their properties."""

import random
from itertools import combinations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sql_reward.stats import (
    compare_paired,
    majority_vote,
    mcnemar_p,
    newcombe_interval,
    pass_at_k,
    result_digest,
    wilson_interval,
)


@pytest.mark.parametrize(
    ("successes", "total", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_published(successes: int, total: int, low: float, high: float) -> None:
    """The four examples of Newcombe 1998, "Two-sided confidence intervals for the single proportion", method 3."""
    interval = wilson_interval(successes, total)
    assert (round(interval.low, 4), round(interval.high, 4)) == (low, high)


@given(total=st.integers(0, 400), data=st.data())
def test_wilson_holds_its_share(total: int, data: st.DataObject) -> None:
    """The interval lies in [0, 1], holds the share, and is mirrored for failures."""
    successes = data.draw(st.integers(0, total))
    interval, mirrored = wilson_interval(successes, total), wilson_interval(total - successes, total)
    assert 0 <= interval.low <= (successes / total if total else 0.5) <= interval.high <= 1
    assert interval.low == pytest.approx(1 - mirrored.high, abs=1e-12)


@pytest.mark.parametrize(("successes", "total"), [(3, 2), (-1, 2)])
def test_wilson_refuses_impossible_counts(successes: int, total: int) -> None:
    """More successes than questions is a mistake of the caller."""
    with pytest.raises(ValueError, match="count each question once"):
        wilson_interval(successes, total)


def test_confidence_is_a_share() -> None:
    """95 is not 0.95."""
    with pytest.raises(ValueError, match="between 0 and 1, got 95"):
        wilson_interval(1, 2, confidence=95)


@given(first=st.integers(0, 12), second=st.integers(0, 12))
def test_mcnemar_counts_splits(first: int, second: int) -> None:
    """The p-value is the share of all ways to split the discordant questions that are at least as uneven."""
    total = first + second
    sides = [sum(split) for split in product((0, 1), repeat=total)] if total <= 12 else None
    if sides is not None:
        uneven = sum(abs(2 * ones - total) >= abs(first - second) for ones in sides)
        assert mcnemar_p(first, second) == pytest.approx(uneven / len(sides))
    assert mcnemar_p(first, second) == mcnemar_p(second, first)


def test_mcnemar_of_many_questions() -> None:
    """Thousands of discordant questions neither overflow nor round to one side."""
    assert mcnemar_p(5_000, 5_000) == 1
    assert 0 < mcnemar_p(9_000, 10_000) < 1e-11
    assert mcnemar_p(0, 0) == 1


def test_newcombe_covers_the_truth() -> None:
    """Over seeded samples the 95 % interval holds the true difference in 93 % or more, few or many questions."""
    randomness = random.Random(20)
    for total, shares in ((30, (0.6, 0.12, 0.05, 0.23)), (200, (0.8, 0.03, 0.03, 0.14)), (20, (0.9, 0.05, 0.0, 0.05))):
        held = 0
        for _ in range(1_500):
            drawn = randomness.choices(range(4), shares, k=total)
            interval = newcombe_interval(*(drawn.count(kind) for kind in range(4)))
            held += interval.low <= shares[1] - shares[2] <= interval.high
        assert held / 1_500 >= 0.93, (total, shares)


@pytest.mark.parametrize(
    ("counts", "low", "high"), [((36, 12, 2, 0), 0.0569, 0.3404), ((20, 12, 2, 16), 0.0562, 0.3292)]
)
def test_newcombe_figures(counts: tuple[int, int, int, int], low: float, high: float) -> None:
    """Fixed examples, so that the formula cannot change unnoticed."""
    interval = newcombe_interval(*counts)
    assert (round(interval.low, 4), round(interval.high, 4)) == (low, high)


@given(verdicts=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_compare_paired_is_antisymmetric(verdicts: list[tuple[bool, bool]]) -> None:
    """Counts add up; exchanging the systems mirrors the difference and keeps the p-value."""
    first, second = [one for one, _ in verdicts], [other for _, other in verdicts]
    there, back = compare_paired(first, second), compare_paired(second, first)
    assert there.total == len(verdicts)
    assert there.difference == pytest.approx((sum(second) - sum(first)) / len(verdicts))
    assert there.interval.low <= there.difference <= there.interval.high
    assert (back.difference, back.p_value) == (-there.difference, there.p_value)
    assert back.interval.low == pytest.approx(-there.interval.high, abs=1e-9)


@pytest.mark.parametrize(("first", "second"), [([], []), ([True], [True, False])])
def test_compare_paired_needs_pairs(first: list[bool], second: list[bool]) -> None:
    """Lists of unequal length are not pairs."""
    with pytest.raises(ValueError, match="pair them by question"):
        compare_paired(first, second)


@pytest.mark.parametrize(("attempts", "correct", "k"), [(6, 2, 3), (5, 0, 2), (5, 5, 1), (7, 3, 7)])
def test_pass_at_k_counts_draws(attempts: int, correct: int, k: int) -> None:
    """It is the share of all draws of k attempts that hold a right one."""
    draws = list(combinations([True] * correct + [False] * (attempts - correct), k))
    assert pass_at_k(attempts, correct, k) == pytest.approx(sum(map(any, draws)) / len(draws))


@pytest.mark.parametrize(("attempts", "correct", "k"), [(3, 4, 1), (3, 1, 4), (3, 1, 0)])
def test_pass_at_k_needs_enough_attempts(attempts: int, correct: int, k: int) -> None:
    """k attempts cannot be drawn from fewer."""
    with pytest.raises(ValueError, match="draw at least k attempts"):
        pass_at_k(attempts, correct, k)


def test_majority_vote() -> None:
    """The most frequent result wins, the first of equals; attempts without a result do not vote."""
    assert majority_vote(["a", "b", "b"]) == 1
    assert majority_vote(["a", "b"]) == 0
    assert majority_vote([None, None, "x"]) == 2
    assert majority_vote([None]) is None
    assert majority_vote([]) is None


def test_digest_is_of_a_bag_of_rows() -> None:
    """Row order and 1 against 1.0 make no difference; duplicates, column order and types do."""
    rows = [(1, "a"), (2, None), (2, None)]
    assert result_digest(rows) == result_digest([(2.0, None), (1.0, "a"), (2, None)])
    for other in ([(1, "a"), (2, None)], [("a", 1), (None, 2), (None, 2)], [("1", "a"), (2, None), (2, None)], []):
        assert result_digest(rows) != result_digest(other)
    assert result_digest([("a\x1fb",)]) != result_digest([("a", "b")])
    assert result_digest([(b"a",)]) != result_digest([("a",)])
