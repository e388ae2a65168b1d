"""A step's groups, and what it says about itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lit_sql_trainer.rollouts import (
    Collected,
    DroppedRollout,
    Episode,
    Gathering,
    StepBatch,
    describe_batch,
    describe_validation,
    grouped,
)
from lit_sql_trainer.verl.relay import flat_numbers


def episode(group: int, sample: int, reward: float) -> Episode:
    return Episode(group=group, sample=sample, rollout_id=f"{group}-{sample}", reward=reward, calls=())


def dropped(reason: str) -> DroppedRollout:
    return DroppedRollout(group=9, sample=0, rollout_id="lost", reason=reason)


class Rounds:
    """Gives out groups with these rewards, in order, and remembers how many were asked for at a time."""

    def __init__(self, rewards: Sequence[Sequence[float]]) -> None:
        self.rewards = list(rewards)
        self.asked: list[int] = []
        self.given = 0

    def __call__(self, count: int) -> Collected:
        self.asked.append(count)
        first, self.given = self.given, self.given + count
        episodes = [
            episode(group, sample, reward)
            for group in range(first, self.given)
            for sample, reward in enumerate(self.rewards[group])
        ]
        return Collected(episodes=episodes)


def roll_out(rounds: Callable[[int], Collected], *, wanted: int, refill_factor: float, normalise: bool) -> StepBatch:
    """A whole step, as every back end rolls it out."""
    gathering = Gathering(wanted=wanted, refill_factor=refill_factor, normalise=normalise)
    while count := gathering.missing():
        gathering.add(count, rounds(count))
    return gathering.batch()


RIGHT, WRONG, MIXED = [1.0, 1.0], [0.0, 0.0], [1.0, 0.0]


def test_without_refill_every_group_stays() -> None:
    """One round, and shaped rewards train as they are."""
    rounds = Rounds([MIXED, WRONG, [0.3, 0.0]])
    batch = roll_out(rounds, wanted=3, refill_factor=1.0, normalise=True)
    assert rounds.asked == [3]
    assert batch.advantages.zero_variance_P == (False, True, False)
    assert (batch.sampled_groups, batch.filtered_groups) == (3, 0)


def test_refill_replaces_groups_without_contrast_within_twice_the_batch() -> None:
    """4 wanted, 1 useful: as many as can be expected to help, but never more than 8 in all."""
    rounds = Rounds([MIXED, RIGHT, WRONG, WRONG, MIXED, WRONG, RIGHT, WRONG])
    batch = roll_out(rounds, wanted=4, refill_factor=2.0, normalise=True)
    assert sum(rounds.asked) == 8
    assert batch.sampled_groups == 8
    assert batch.advantages.zero_variance_P.count(False) == 2


def test_refill_stops_when_there_are_enough() -> None:
    """No group beyond the wanted ones is asked for."""
    rounds = Rounds([MIXED, MIXED])
    assert roll_out(rounds, wanted=2, refill_factor=2.0, normalise=True).sampled_groups == 2
    assert rounds.asked == [2]


def test_with_refill_partial_credit_alone_does_not_train() -> None:
    """A group of wrong answers with different partial credit is filtered, and counted."""
    rounds = Rounds([[0.3, 0.0], MIXED, MIXED, MIXED])
    batch = roll_out(rounds, wanted=2, refill_factor=2.0, normalise=True)
    assert batch.filtered_groups == 1
    assert batch.advantages.advantages_P_G[0] == (0.0, 0.0)


def test_a_step_in_which_everything_was_lost() -> None:
    """Groups without a rollout that counts are no groups, and nothing divides by zero."""
    batch = roll_out(lambda _: Collected(dropped=[dropped("down")] * 8), wanted=2, refill_factor=1.0, normalise=True)
    numbers = describe_batch(batch, dropped_total=8)
    assert (numbers["groups"], numbers["reward"], numbers["dropped"]) == (0, None, 8)
    assert numbers["drop_reasons"] == {"down": 8}


def test_groups_and_samples_are_in_order_whatever_arrives_first() -> None:
    """The order of arrival decides nothing."""
    episodes = [episode(2, 1, 0.0), episode(0, 0, 0.0), episode(2, 0, 0.0)]
    assert [[(e.group, e.sample) for e in group] for group in grouped(episodes)] == [[(0, 0)], [(2, 0), (2, 1)]]


def test_validation_per_hardness() -> None:
    """Means over all tasks and per level; dropped ones are in no mean."""
    result = Collected(
        episodes=[episode(0, 0, 1.0), episode(1, 0, 0.0), episode(3, 0, 1.0)], dropped=[dropped("timeout")]
    )
    numbers = describe_validation(result, [{"hardness": level} for level in ("easy", "hard", "hard", "easy")])
    assert numbers["reward"] == 2 / 3
    assert numbers["hardness"] == {
        "easy": {"reward": 1.0, "rollouts": 2},
        "hard": {"reward": 0.0, "rollouts": 1},
    }
    assert (numbers["rollouts"], numbers["dropped"]) == (3, 1)


def test_loggers_get_numbers_only() -> None:
    """Nested metrics become flat names; text and None stay out."""
    flat = flat_numbers(
        {"reward": 0.5, "best": True, "why": "x", "none": None, "hardness": {"easy": {"reward": 1}}}, "val"
    )
    assert flat == {"val/reward": 0.5, "val/best": 1.0, "val/hardness/easy/reward": 1.0}
