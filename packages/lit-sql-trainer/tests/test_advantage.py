"""What a rollout is worth, and that its number of turns does not change it."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lit_sql_trainer.profile import Weighting
from lit_sql_trainer.rollouts import group_advantages
from lit_sql_trainer.rollouts.advantage import call_weights, refill_size

reward_groups = st.lists(st.sampled_from([0.0, 0.1, 0.5, 1.0]), min_size=2, max_size=9)


def test_a_group_by_hand() -> None:
    """Two right and two wrong rollouts: centred at one half, divided by the sample deviation 0.577."""
    (row,) = group_advantages([[1.0, 0.0, 0.0, 1.0]]).advantages_P_G
    assert row == pytest.approx([0.8660, -0.8660, -0.8660, 0.8660], abs=1e-4)


@given(st.lists(reward_groups, max_size=4))
def test_groups_agree_with_the_textbook(rewards_P_G: list[list[float]]) -> None:
    """Each advantage is (reward - mean) / (sample deviation + 1e-6), in its own group only."""
    result = group_advantages(rewards_P_G)
    for rewards, advantages, flat in zip(rewards_P_G, result.advantages_P_G, result.zero_variance_P, strict=True):
        assert flat == (len(set(rewards)) == 1)
        if flat:
            assert advantages == (0.0,) * len(rewards)
            continue
        mean, deviation = statistics.fmean(rewards), statistics.stdev(rewards)
        expected = [(reward - mean) / (deviation + 1e-6) for reward in rewards]
        assert advantages == pytest.approx(expected, abs=1e-9)


@given(reward_groups, st.randoms())
def test_the_order_of_rollouts_is_free(rewards: list[float], random: object) -> None:
    """Shuffling a group shuffles its advantages."""
    order = list(range(len(rewards)))
    random.shuffle(order)  # type: ignore[attr-defined]
    (plain,) = group_advantages([rewards]).advantages_P_G
    (shuffled,) = group_advantages([[rewards[place] for place in order]]).advantages_P_G
    assert shuffled == pytest.approx([plain[place] for place in order])


@given(reward_groups)
def test_advantages_of_a_group_cancel(rewards: list[float]) -> None:
    """A group pushes up as much as it pushes down."""
    assert math.fsum(group_advantages([rewards]).advantages_P_G[0]) == pytest.approx(0.0, abs=1e-9)


def test_one_rollout_left_has_no_baseline() -> None:
    """When all but one rollout of a group were dropped, the one left carries no gradient (not its raw reward)."""
    result = group_advantages([[1.0], []])
    assert result.advantages_P_G == ((0.0,), ())
    assert result.zero_variance_share == 1.0


@pytest.mark.parametrize("reward", [math.nan, math.inf])
def test_a_made_up_reward_is_refused(reward: float) -> None:
    """A reward that is no number is an error, so nobody fills a failed rollout with one."""
    with pytest.raises(ValueError, match="finite"):
        group_advantages([[0.0, reward]])


@given(st.integers(1, 9), st.integers(1, 9))
def test_turns_do_not_change_the_weight_of_a_rollout(turns: int, other_turns: int) -> None:
    """Rollouts with any numbers of turns weigh the same in total, and their calls share it equally."""
    assert math.fsum(call_weights(turns)) == pytest.approx(math.fsum(call_weights(other_turns)))
    assert len(set(call_weights(turns))) == 1


def test_transition_weighting_is_what_it_says() -> None:
    """The comparison mode weighs every call 1."""
    assert call_weights(3, weighting=Weighting.TRANSITION) == (1.0, 1.0, 1.0)


def test_a_rollout_without_calls_cannot_be_weighed() -> None:
    """Nothing to train on is an error of the caller."""
    with pytest.raises(ValueError, match="at least one"):
        call_weights(0)


@given(st.integers(0, 20), st.integers(1, 20), st.floats(1.0, 2.0))
def test_refill_never_exceeds_its_budget(useful: int, wanted: int, factor: float) -> None:
    """However the groups turn out, a step samples at most `factor` times the wanted number, and it ends."""
    sampled = wanted
    useful = min(useful, sampled)
    for _ in range(50):
        more = refill_size(useful=useful, wanted=wanted, sampled=sampled, factor=factor)
        if not more:
            break
        sampled += more
    assert sampled <= factor * wanted
    assert not refill_size(useful=useful, wanted=wanted, sampled=sampled, factor=factor)


@pytest.mark.parametrize(
    ("useful", "sampled", "more"),
    [(16, 16, 0), (8, 16, 16), (12, 16, 6), (15, 16, 2), (0, 16, 16), (10, 30, 2), (9, 32, 0)],
)
def test_refill_asks_for_what_the_yield_suggests(useful: int, sampled: int, more: int) -> None:
    """Missing groups divided by the share that was useful, cut at twice the batch of 16."""
    assert refill_size(useful=useful, wanted=16, sampled=sampled, factor=2.0) == more


def test_refill_beyond_twice_is_refused() -> None:
    """The bound is part of the contract."""
    with pytest.raises(ValueError, match="between 1"):
        refill_size(useful=0, wanted=4, sampled=4, factor=2.5)
