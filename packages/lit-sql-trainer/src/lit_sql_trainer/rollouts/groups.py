"""The groups of one step: gathered in rounds until enough of them tell right from wrong, then compared.

One rule for every back end. Refilling asks whether a group has both right and wrong answers (`without_contrast`), never
whether its rewards differ; while it is on, groups without that contrast are kept out of the gradient, and counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from lit_sql_trainer.rollouts.advantage import (
    GroupAdvantages,
    group_advantages,
    refill_size,
    silenced,
    without_contrast,
)
from lit_sql_trainer.rollouts.episodes import Collected, Episode


@dataclass(frozen=True, slots=True, kw_only=True)
class StepBatch:
    """The groups of one step with their advantages."""

    collected: Collected
    groups: tuple[tuple[Episode, ...], ...]
    advantages: GroupAdvantages
    sampled_groups: int
    """Tasks rolled out, refills included."""
    refilled_groups: int
    """Of those, the ones beyond the tasks that were wanted."""
    filtered_groups: int
    """Groups whose rewards differ but whose answers are all right or all wrong, left out because refilling is on."""


@dataclass(slots=True, kw_only=True)
class Gathering:
    """The rounds of one step. Ask `missing`, roll out so many tasks, `add` what came back, until nothing is missing."""

    wanted: int
    """Groups to learn from."""
    refill_factor: float
    """At most this many times `wanted` tasks are rolled out; 1 refills nothing."""
    normalise: bool
    collected: Collected = field(default_factory=Collected)
    sampled_groups: int = 0

    def missing(self) -> int:
        """How many tasks to roll out next; 0 when the batch is whole or the budget is spent."""
        if not self.sampled_groups:
            return self.wanted
        useful = sum(not silent for silent in without_contrast(self._rewards()))
        return refill_size(useful=useful, wanted=self.wanted, sampled=self.sampled_groups, factor=self.refill_factor)

    def add(self, tasks: int, collected: Collected) -> None:
        """Take in what so many tasks brought; a group that was lost as a whole brought nothing."""
        self.sampled_groups += tasks
        self.collected.extend(collected)

    def batch(self) -> StepBatch:
        """The groups gathered so far, compared."""
        rewards = self._rewards()
        advantages = group_advantages(rewards, normalise=self.normalise)
        kept = silenced(advantages, without_contrast(rewards)) if self.refill_factor > 1.0 else advantages
        return StepBatch(
            collected=self.collected,
            groups=grouped(self.collected.episodes),
            advantages=kept,
            sampled_groups=self.sampled_groups,
            refilled_groups=self.sampled_groups - self.wanted,
            filtered_groups=sum(kept.zero_variance_P) - sum(advantages.zero_variance_P),
        )

    def _rewards(self) -> list[list[float]]:
        return [[episode.reward for episode in group] for group in grouped(self.collected.episodes)]


def grouped(episodes: Sequence[Episode]) -> tuple[tuple[Episode, ...], ...]:
    """Rollouts by group, both in order, whatever arrived first."""
    groups: dict[int, list[Episode]] = {}
    for episode in sorted(episodes, key=lambda episode: (episode.group, episode.sample)):
        groups.setdefault(episode.group, []).append(episode)
    return tuple(map(tuple, groups.values()))
