"""Everything the local algorithm can be told, with defaults that were seen to work on two CPU cores."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from lit_sql_trainer.errors import ConfigError


class Weighting(StrEnum):
    """What counts once in the loss."""

    ROLLOUT = "rollout"
    """Each rollout: its calls share a weight of 1."""
    TRANSITION = "transition"
    """Each model call weighs 1, so rollouts with more turns weigh more. For comparison only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpoSettings:
    """One training run. Checked at birth; a nonsensical value raises `ConfigError` and names its field."""

    steps: int = 40
    """Updates of the policy; 0 only validates."""
    tasks_per_step: int = 16
    rollouts_per_task: int = 8
    """The group within which advantages are centred."""
    seed: int = 0
    """Decides the order of tasks and every sampled token."""

    temperature: float = 1.0
    """Of training rollouts; old and new log-probabilities are those of this tempered distribution."""
    max_new_tokens: int = 256
    """Reply length when a request names none."""
    context_tokens: int = 2048
    """Prompt plus reply; the model's own limit applies when it is lower."""

    learning_rate: float = 3e-4
    beta1: float = 0.9
    beta2: float = 0.99
    weight_decay: float = 0.0
    warmup_steps: int = 5
    """Steps over which the learning rate rises linearly."""
    max_grad_norm: float = 1.0
    mini_batches: int = 1
    """Optimiser steps per batch of rollouts; with 1 the update is fully on-policy and nothing is ever clipped."""
    micro_batch_tokens: int = 8192
    """Padded tokens per forward pass of the update; bounds memory, changes no result beyond rounding."""

    clip_low: float = 0.2
    clip_high: float = 0.28
    kl_coefficient: float = 0.0
    """Weight of the divergence from the model the run started with; 0 keeps no second model in memory."""
    normalise_advantages: bool = True
    weighting: Weighting = Weighting.ROLLOUT
    refill_factor: float = 1.0
    """Up to this many times `tasks_per_step` tasks are rolled out to replace groups without variance; at most 2."""

    validate_every: int = 20
    """Steps between validations; 0 validates only at the start and the end."""
    checkpoint_every: int = 10

    max_dropped_share: float = 0.02
    """Rollouts lost to our own failures, over the last `dropped_window`, that a run survives."""
    dropped_window: int = 256
    rollout_timeout_s: float = 60.0
    runner_timeout_s: float = 45.0
    """A runner that shows no sign of life for this long has died, and its rollout with it; it beats every 10 s."""
    stall_timeout_s: float = 180.0
    """The run stops when no rollout ends for this long."""
    poll_interval_s: float = 0.05

    max_batch: int = 128
    """Requests that the server decodes together."""
    batch_window_s: float = 0.004
    """How long the server waits for company before it starts a batch."""
    torch_threads: int = 0
    """Threads of the model's process. 0 takes one for a small model, whose products are too short to share (and
    threads that wait for each other while runners want the cores cost ten times the work), and one per core for a
    large one. Numbers are reproducible for one value."""
    device: str = "cpu"

    def __post_init__(self) -> None:
        self._at_least(0, "steps", "warmup_steps", "validate_every", "torch_threads", "seed")
        self._at_least(1, "tasks_per_step", "mini_batches", "max_new_tokens", "checkpoint_every", "max_batch")
        self._at_least(1, "dropped_window", "micro_batch_tokens")
        self._at_least(2, "rollouts_per_task", "context_tokens")
        for name in ("temperature", "learning_rate", "max_grad_norm", "poll_interval_s"):
            self._positive(name)
        for name in ("rollout_timeout_s", "runner_timeout_s", "stall_timeout_s"):
            self._positive(name)
        self._at_least(20, "runner_timeout_s")
        for name in ("weight_decay", "kl_coefficient", "clip_high", "batch_window_s"):
            self._require(0.0 <= getattr(self, name) < math.inf, name, "a number of at least 0")
        for name in ("beta1", "beta2", "clip_low"):
            self._require(0.0 <= getattr(self, name) < 1.0, name, "at least 0 and below 1")
        self._require(0.0 <= self.max_dropped_share <= 1.0, "max_dropped_share", "between 0 and 1")
        self._require(1.0 <= self.refill_factor <= 2.0, "refill_factor", "between 1 (off) and 2")
        self._require(
            self.max_new_tokens < self.context_tokens, "max_new_tokens", f"below context_tokens {self.context_tokens}"
        )

    def _at_least(self, minimum: int, *names: str) -> None:
        for name in names:
            self._require(getattr(self, name) >= minimum, name, f"at least {minimum}")

    def _positive(self, name: str) -> None:
        self._require(0.0 < getattr(self, name) < math.inf, name, "a positive number")

    def _require(self, holds: bool, name: str, expected: str) -> None:
        if not holds:
            raise ConfigError(f"{name} must be {expected}, got {getattr(self, name)!r}; change it with --set {name}=…")
