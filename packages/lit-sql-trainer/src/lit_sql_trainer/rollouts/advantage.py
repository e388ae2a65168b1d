"""From rewards to what each model call is worth: plain arithmetic, shared by every training back-end.

A *group* is the rollouts of one task. An advantage belongs to a rollout, never to one of its calls, so a rollout
that needed three turns moves the baseline and the loss no more than one that needed a single turn.
Ragged lists carry their axes: `P` groups, `G` rollouts of a group, `C` model calls of a rollout.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lit_sql_trainer.profile.grpo import Weighting

EPSILON = 1e-6
"""Added to the standard deviation of a group; the value that VERL uses, so that both back-ends agree."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupAdvantages:
    """Advantages of every rollout of a batch."""

    advantages_P_G: tuple[tuple[float, ...], ...]  # noqa: N815  names its axes
    """As the rewards; all zero in a group without variance."""
    zero_variance_P: tuple[bool, ...]  # noqa: N815  names its axis
    """Groups whose rollouts all earned the same, or of which fewer than two are left: they carry no gradient."""

    @property
    def zero_variance_share(self) -> float:
        """Groups without variance over all groups; 0 for an empty batch."""
        return sum(self.zero_variance_P) / len(self.zero_variance_P) if self.zero_variance_P else 0.0


def group_advantages(rewards_P_G: Sequence[Sequence[float]], *, normalise: bool = True) -> GroupAdvantages:
    """Centre rewards within their group and, when `normalise`, divide by the group's standard deviation.

    The standard deviation is the sample one (divisor G - 1) plus `EPSILON`, as in VERL. Shao et al. 2024, section
    4.1.2, gives the form. A group of one has no baseline: its advantage is 0, not its reward.

    Raises:
        ValueError: a reward is not finite.
    """
    rows = [_advantages(rewards_G, normalise=normalise) for rewards_G in rewards_P_G]
    return GroupAdvantages(
        advantages_P_G=tuple(rows),
        zero_variance_P=tuple(all(value == 0.0 for value in row) for row in rows),
    )


def without_contrast(rewards_P_G: Sequence[Sequence[float]], *, right: float = 1.0) -> tuple[bool, ...]:
    """Per group, whether all or none of its answers are right (a reward of at least `right`).

    Refilling and filtering decide on this and never on the reward itself: with a shaped reward, groups of wrong
    answers that differ in partial credit would pass as useful and crowd out those that tell right from wrong.
    """
    return tuple(len({reward >= right for reward in rewards_G}) < 2 for rewards_G in rewards_P_G)


def silenced(advantages: GroupAdvantages, silent_P: Sequence[bool]) -> GroupAdvantages:
    """The same advantages with those of the chosen groups set to zero, which takes them out of the gradient."""
    rows = tuple(
        (0.0,) * len(row) if silent else row for row, silent in zip(advantages.advantages_P_G, silent_P, strict=True)
    )
    return GroupAdvantages(
        advantages_P_G=rows,
        zero_variance_P=tuple(all(value == 0.0 for value in row) for row in rows),
    )


def call_weights(calls: int, *, weighting: Weighting = Weighting.ROLLOUT) -> tuple[float, ...]:
    """Weight of each of a rollout's `calls` model calls in the loss; they sum to 1 per rollout by default.

    Raises:
        ValueError: a rollout without calls has nothing to weigh.
    """
    if calls < 1:
        raise ValueError(f"a rollout needs at least one model call to be trained on, got {calls}")
    return ((1.0 / calls) if weighting is Weighting.ROLLOUT else 1.0,) * calls


def refill_size(*, useful: int, wanted: int, sampled: int, factor: float) -> int:
    """How many further tasks to roll out so that `wanted` groups have variance, within the budget.

    At most `factor` x `wanted` groups are sampled in one step, those already `sampled` included. Assumes that new
    groups are useful as often as the ones seen; with none useful so far it asks for as many as are missing.

    Raises:
        ValueError: `factor` is outside [1, 2].
    """
    if not 1.0 <= factor <= 2.0:
        raise ValueError(f"refill factor must lie between 1 (off) and 2, got {factor!r}")
    missing = wanted - useful
    budget = math.floor(factor * wanted) - sampled
    if missing <= 0 or budget <= 0:
        return 0
    expected_yield = useful / sampled if useful else 1.0
    return min(budget, math.ceil(missing / expected_yield))


def _advantages(rewards_G: Sequence[float], *, normalise: bool) -> tuple[float, ...]:
    bad = [reward for reward in rewards_G if not math.isfinite(reward)]
    if bad:
        raise ValueError(f"rewards must be finite numbers, got {bad[0]!r}; a failed rollout is dropped, not scored")
    if len(rewards_G) < 2 or max(rewards_G) == min(rewards_G):
        return (0.0,) * len(rewards_G)
    mean = math.fsum(rewards_G) / len(rewards_G)
    centred_G = [reward - mean for reward in rewards_G]
    if not normalise:
        return tuple(centred_G)
    deviation = math.sqrt(math.fsum(value * value for value in centred_G) / (len(rewards_G) - 1))
    return tuple(value / (deviation + EPSILON) for value in centred_G)
