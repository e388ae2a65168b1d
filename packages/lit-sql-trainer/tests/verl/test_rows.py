"""Rows of an update, worked out by hand."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lit_sql_trainer.rollouts import group_advantages
from lit_sql_trainer.rollouts.advantage import silenced, without_contrast
from lit_sql_trainer.verl.rows import Row, deal, row_coefficients, trained_rows


@dataclass(frozen=True)
class Call:
    prompt_ids: tuple[int, ...]
    token_ids: tuple[int, ...]


@dataclass(frozen=True)
class Rollout:
    sample: int
    calls: tuple[Call, ...]
    reward: float = 0.0
    group: int = 0


def rollout(sample: int, *lengths: int, prompt: int = 3, reward: float = 0.0, group: int = 0) -> Rollout:
    """A rollout whose calls have replies of these lengths."""
    calls = tuple(Call(tuple(range(prompt)), tuple(range(100, 100 + length))) for length in lengths)
    return Rollout(sample=sample, calls=calls, reward=reward, group=group)


def test_a_step_by_hand() -> None:
    """Two groups, one of them silent: advantages, weights and the normaliser are the numbers on paper."""
    # Group 0: rewards 1, 0, 0 with 1, 2 and 1 calls. Mean 1/3, sample deviation sqrt(1/3) = 0.57735027.
    # Group 1: rewards 0, 0: nothing to learn, but its tokens count in the mean.
    groups = [[rollout(0, 4), rollout(1, 6, 2), rollout(3, 5)], [rollout(0, 10), rollout(1, 3, 3)]]
    advantages = group_advantages([[1.0, 0.0, 0.0], [0.0, 0.0]])
    trained = trained_rows(groups, advantages, max_prompt=8, max_reply=8)
    rows = [row for group in trained.rows_P for row in group]
    assert [(row.group, row.sample, row.turn, row.weight) for row in rows] == [
        (0, 0, 0, 1.0), (0, 1, 0, 0.5), (0, 1, 1, 0.5), (0, 3, 0, 1.0),
    ]  # fmt: skip
    assert [row.advantage for row in rows] == pytest.approx([1.1547, -0.57735, -0.57735, -0.57735], abs=1e-4)
    # 4·1 + 6·½ + 2·½ + 5·1 = 13 and 8 (10 cut at 8) + 3·½ + 3·½ = 11.
    assert trained.weighted_tokens == 24.0
    assert (trained.replies_cut, trained.prompts_too_long, trained.rows) == (1, 0, 4)
    # One mini-batch on one rank, micro-batches of 4 rows in a room for 8, replies 8 wide: VERL divides by 2·8 = 16.
    coefficients = row_coefficients(rows, normaliser=24.0, factor=16.0)
    assert coefficients == pytest.approx([1.1547 * 16 / 24, *[-0.57735 * w * 16 / 24 for w in (0.5, 0.5, 1)]], abs=1e-4)


def test_a_rollout_weighs_the_same_however_many_turns_it_took() -> None:
    """The weights of a rollout's rows sum to 1, whatever its number of calls."""
    trained = trained_rows(
        [[rollout(0, 2), rollout(1, 2, 2, 2)]], group_advantages([[1.0, 0.0]]), max_prompt=9, max_reply=9
    )
    sums = {sample: sum(row.weight for row in trained.rows_P[0] if row.sample == sample) for sample in (0, 1)}
    assert sums == {0: pytest.approx(1.0), 1: pytest.approx(1.0)}


def test_a_prompt_too_long_is_left_out_and_counted() -> None:
    """Its rollout keeps its place in the baseline, and the rest of its calls the whole weight."""
    long = Rollout(sample=0, calls=(Call((1,) * 9, (5, 6)), Call((1,) * 3, (7,))))
    trained = trained_rows([[long, rollout(1, 2)]], group_advantages([[1.0, 0.0]]), max_prompt=8, max_reply=4)
    assert trained.prompts_too_long == 1
    assert [(row.sample, row.turn, row.weight) for row in trained.rows_P[0]] == [(0, 1, 1.0), (1, 0, 1.0)]


def test_an_empty_batch_has_no_parts() -> None:
    """Nothing to train is no mini-batch, instead of an empty one."""
    for groups, rewards in (([], []), ([[rollout(0, 3), rollout(1, 3)]], [[0.0, 0.0]])):
        trained = trained_rows(groups, group_advantages(rewards), max_prompt=8, max_reply=8)
        assert deal(trained, parts=4, seed=0, step=0) == []


def many(groups: int) -> list[list[Rollout]]:
    return [[rollout(0, 1 + group % 3), rollout(1, 2, 1)] for group in range(groups)]


@given(groups=st.integers(1, 12), parts=st.integers(1, 6), seed=st.integers(0, 99), step=st.integers(0, 99))
def test_dealing_loses_nothing_and_splits_no_group(groups: int, parts: int, seed: int, step: int) -> None:
    """Every row is in exactly one part, groups stay whole, parts differ by at most one group, and the seed decides."""
    trained = trained_rows(many(groups), group_advantages([[1.0, 0.0]] * groups), max_prompt=9, max_reply=9)
    dealt = deal(trained, parts=parts, seed=seed, step=step)
    assert dealt == deal(trained, parts=parts, seed=seed, step=step)
    members = [{row.group for row in part} for part in dealt]
    assert sorted(group for part in members for group in part) == list(range(groups))
    assert max(map(len, members)) - min(map(len, members)) <= 1
    assert sum(map(len, dealt)) == trained.rows


def test_another_seed_deals_another_order() -> None:
    """The remainder is not always made of the same groups."""
    trained = trained_rows(many(9), group_advantages([[1.0, 0.0]] * 9), max_prompt=9, max_reply=9)
    orders = {
        tuple(row.group for part in deal(trained, parts=2, seed=seed, step=0) for row in part) for seed in range(9)
    }
    assert len(orders) > 4


def test_filtering_decides_on_right_and_wrong_not_on_partial_credit() -> None:
    """Wrong answers that differ in partial credit make no contrast; one right answer does."""
    rewards = [[0.1, 0.0, 0.3], [1.0, 0.3, 0.0], [1.0, 1.0], [0.0]]
    assert without_contrast(rewards) == (True, False, True, True)
    kept = silenced(group_advantages(rewards), without_contrast(rewards))
    assert kept.advantages_P_G[0] == (0.0, 0.0, 0.0)
    assert kept.advantages_P_G[1] == group_advantages(rewards).advantages_P_G[1]
    assert kept.zero_variance_P == (True, False, True, True)


def test_coefficients_sum_to_the_objective_of_the_local_algorithm() -> None:
    """Undoing VERL's constant leaves weight x advantage / normaliser, exactly."""
    row = Row(group=0, sample=0, turn=0, prompt_ids=(1,), token_ids=(2, 3), advantage=0.5, weight=0.25)
    (coefficient,) = row_coefficients([row], normaliser=8.0, factor=16.0)
    assert Fraction(coefficient) / 16 == Fraction(1, 2) * Fraction(1, 4) / 8
