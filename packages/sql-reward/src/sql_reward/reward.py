"""The only place where a verdict becomes a number."""

from __future__ import annotations

from dataclasses import dataclass

from sql_reward.verdict import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardScale:
    """What each kind of verdict is worth."""

    match: float = 1.0
    miss: float = 0.0


def reward_of(verdict: Verdict, *, scale: RewardScale | None = None) -> float:
    """The reward of a verdict."""
    scale = scale or RewardScale()
    return scale.match if verdict.matched else scale.miss
