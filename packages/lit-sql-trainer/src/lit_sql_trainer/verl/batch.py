"""The rollouts of one step, and what a step or a validation says about itself. Pure Python."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from lit_sql_trainer.rollouts.advantage import (
    GroupAdvantages,
    group_advantages,
    refill_size,
    silenced,
    without_contrast,
)
from lit_sql_trainer.verl.rows import RolloutLike


class EpisodeLike(RolloutLike, Protocol):
    """A rollout that counts."""

    @property
    def group(self) -> int: ...
    @property
    def reward(self) -> float: ...


class CollectedLike(Protocol):
    """What a round of rollouts brought back."""

    @property
    def episodes(self) -> Sequence[Any]: ...
    @property
    def dropped(self) -> Sequence[Any]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StepBatch:
    """The groups of one step with their advantages."""

    groups: tuple[tuple[Any, ...], ...]
    advantages: GroupAdvantages
    sampled_groups: int
    """Tasks rolled out, refills included."""
    filtered_groups: int
    """Groups whose rewards differ but whose answers are all right or all wrong, left out because refilling is on."""


def roll_out(
    round_of: Callable[[int], Sequence[EpisodeLike]], *, wanted: int, refill_factor: float, normalise: bool
) -> StepBatch:
    """Groups for one step: `wanted` of them, and with a factor above 1 as many refills as the budget allows.

    `round_of(count)` rolls out the next `count` tasks and returns the rollouts that count, of which a group that was
    lost as a whole has none.
    """
    episodes: list[EpisodeLike] = []
    count, sampled = wanted, 0
    while True:
        episodes += round_of(count)
        sampled += count
        groups = grouped(episodes)
        rewards = [[episode.reward for episode in group] for group in groups]
        advantages = group_advantages(rewards, normalise=normalise)
        silent = without_contrast(rewards)
        useful = len(groups) - sum(silent)
        count = refill_size(useful=useful, wanted=wanted, sampled=sampled, factor=refill_factor)
        if not count:
            break
    kept = silenced(advantages, silent) if refill_factor > 1.0 else advantages
    return StepBatch(
        groups=groups,
        advantages=kept,
        sampled_groups=sampled,
        filtered_groups=sum(kept.zero_variance_P) - sum(advantages.zero_variance_P),
    )


def grouped(episodes: Sequence[EpisodeLike]) -> tuple[tuple[EpisodeLike, ...], ...]:
    """Rollouts by group, both in order."""
    groups: dict[int, list[EpisodeLike]] = {}
    for episode in sorted(episodes, key=lambda episode: (episode.group, episode.sample)):
        groups.setdefault(episode.group, []).append(episode)
    return tuple(tuple(group) for group in groups.values())


def describe_batch(batch: StepBatch, collected: CollectedLike, *, wanted: int, dropped_total: int) -> dict[str, Any]:
    """A step's numbers, under the names that the local algorithm uses."""
    episodes = collected.episodes
    rewards = [float(episode.reward) for episode in episodes]
    lengths = [len(call.token_ids) for episode in episodes for call in episode.calls]
    return {
        "reward": mean(rewards),
        "reward_std": deviation(rewards),
        "rollouts": len(episodes),
        "dropped": len(collected.dropped),
        "drop_reasons": dict(Counter(dropped.reason for dropped in collected.dropped)),
        "dropped_total": dropped_total,
        "groups": len(batch.groups),
        "refilled_groups": batch.sampled_groups - wanted,
        "filtered_groups": batch.filtered_groups,
        "zero_variance_share": batch.advantages.zero_variance_share,
        "turns": mean([len(episode.calls) for episode in episodes]),
        "response_tokens": mean(lengths),
        "response_tokens_max": max(lengths, default=0),
    }


def describe_validation(collected: CollectedLike, levels: Mapping[int, str]) -> dict[str, Any]:
    """A validation's numbers, over all tasks and per hardness; `levels` gives each task's."""
    rewards = [float(episode.reward) for episode in collected.episodes]
    by_level: dict[str, list[float]] = defaultdict(list)
    for episode in collected.episodes:
        by_level[levels.get(episode.group, "unknown")].append(float(episode.reward))
    return {
        "reward": mean(rewards),
        "standard_error": deviation(rewards) / math.sqrt(len(rewards)) if rewards else None,
        "rollouts": len(rewards),
        "dropped": len(collected.dropped),
        "drop_reasons": dict(Counter(dropped.reason for dropped in collected.dropped)),
        "hardness": {
            level: {"reward": mean(values), "rollouts": len(values)} for level, values in sorted(by_level.items())
        },
    }


def flat_numbers(metrics: Mapping[str, Any], prefix: str) -> dict[str, float]:
    """The numbers of nested metrics as `prefix/a/b`, which is what VERL's loggers take; anything else is left out."""
    flat: dict[str, float] = {}
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            flat |= flat_numbers(cast("Mapping[str, Any]", value), f"{prefix}/{name}")
        elif isinstance(value, int | float):
            flat[f"{prefix}/{name}"] = float(value)
    return flat


def mean(values: Sequence[float]) -> float | None:
    """None of nothing."""
    return math.fsum(values) / len(values) if values else None


def deviation(values: Sequence[float]) -> float:
    """Of a sample; 0 below two values."""
    if len(values) < 2:
        return 0.0
    centre = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - centre) ** 2 for value in values) / (len(values) - 1))
