"""What rollouts bring back: those that count, with the exact tokens of their trained calls, and those that do not."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """What one reply was made of: the prompt's token ids, the reply's, and the latter's log-probabilities."""

    prompt_ids: tuple[int, ...]
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """One rollout that counts."""

    group: int
    sample: int
    rollout_id: str
    reward: float
    calls: tuple[Sampled, ...]
    """Trained calls in order; empty in validation, where only the reward is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DroppedRollout:
    """One rollout that does not count, and why."""

    group: int
    sample: int
    rollout_id: str
    reason: str


@dataclass(slots=True, kw_only=True)
class Collected:
    """What came back, in the order of the plan; the times are wall seconds."""

    episodes: list[Episode] = field(default_factory=list[Episode])
    dropped: list[DroppedRollout] = field(default_factory=list[DroppedRollout])
    seconds: float = 0.0
    """From the first rollout queued to the last one read."""
    adapt_seconds: float = 0.0
    """Part of `seconds` spent on reading traces."""

    def extend(self, other: Collected) -> None:
        """Take in what a later round brought."""
        self.episodes += other.episodes
        self.dropped += other.dropped
        self.seconds += other.seconds
        self.adapt_seconds += other.adapt_seconds
