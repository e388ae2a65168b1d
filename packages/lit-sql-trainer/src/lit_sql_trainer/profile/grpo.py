"""The settings of the local algorithm, with defaults that work on two CPU cores."""

from __future__ import annotations

from enum import StrEnum

from lit_sql_trainer.errors import SettingProblem, SettingsError
from lit_sql_trainer.profile.checked import (
    BelowOne,
    Count,
    NotNegative,
    Positive,
    PositiveNumber,
    RefillFactor,
    RunnerTimeout,
    Share,
    TwoOrMore,
    settings,
)


class Weighting(StrEnum):
    """What counts once in the loss."""

    ROLLOUT = "rollout"
    """Each rollout: its calls share a weight of 1."""
    TRANSITION = "transition"
    """Each model call weighs 1, so rollouts with more turns weigh more. For comparison only."""


@settings("grpo")
class GrpoSettings:
    """One training run with the local algorithm."""

    steps: Count = 40
    """Updates of the policy; 0 only validates."""
    tasks_per_step: Positive = 16
    """Questions of one step."""
    rollouts_per_task: TwoOrMore = 8
    """The group within which advantages are centred."""
    seed: Count = 0
    """Decides the order of tasks and every sampled token."""

    temperature: PositiveNumber = 1.0
    """Of training rollouts; old and new log-probabilities are those of this tempered distribution."""
    max_new_tokens: Positive = 256
    """Reply length when a request names none."""
    context_tokens: TwoOrMore = 2048
    """Prompt plus reply; the model's own limit applies when it is lower."""

    learning_rate: PositiveNumber = 3e-4
    """Learning rate of Adam, after the warm-up."""
    beta1: BelowOne = 0.9
    """Of Adam: how slowly the mean of the gradient moves."""
    beta2: BelowOne = 0.99
    """Of Adam: how slowly the mean of its square moves."""
    weight_decay: NotNegative = 0.0
    """Weight decay of AdamW."""
    warmup_steps: Count = 5
    """Steps over which the learning rate rises linearly."""
    max_grad_norm: PositiveNumber = 1.0
    """A longer gradient is shortened to this norm."""
    mini_batches: Positive = 1
    """Optimiser steps per batch of rollouts; with 1 the update is fully on-policy and nothing is ever clipped."""
    micro_batch_tokens: Positive = 8192
    """Padded tokens per forward pass of the update; bounds memory, changes no result beyond rounding."""

    clip_low: BelowOne = 0.2
    """How far a token's probability ratio may fall before its gradient is cut."""
    clip_high: NotNegative = 0.28
    """How far a token's probability ratio may rise before its gradient is cut."""
    kl_coefficient: NotNegative = 0.0
    """Weight of the divergence from the model the run started with; 0 keeps no second model in memory."""
    normalise_advantages: bool = True
    """Divide advantages by the standard deviation of their group."""
    weighting: Weighting = Weighting.ROLLOUT
    """What counts once in the loss: each rollout, or each of its model calls."""
    refill_factor: RefillFactor = 1.0
    """Up to this many times `tasks_per_step` tasks are rolled out to replace groups without variance; at most 2."""

    validate_every: Count = 20
    """Steps between validations; 0 validates only at the start and the end."""
    checkpoint_every: Positive = 10
    """Steps between checkpoints."""

    max_dropped_share: Share = 0.02
    """Rollouts lost to our own failures, over the last `dropped_window`, that a run survives."""
    dropped_window: Positive = 256
    """Rollouts over which `max_dropped_share` is taken."""
    rollout_timeout_s: PositiveNumber = 60.0
    """After this a rollout is given up and dropped."""
    runner_timeout_s: RunnerTimeout = 45.0
    """A runner that shows no sign of life for this long has died, and its rollout with it; it beats every 10 s."""
    stall_timeout_s: PositiveNumber = 180.0
    """The run stops when no rollout ends for this long."""
    poll_interval_s: PositiveNumber = 0.05
    """Time between two looks at the store for rollouts that ended."""

    max_batch: Positive = 128
    """Requests that the server decodes together."""
    batch_window_s: NotNegative = 0.004
    """How long the server waits for company before it starts a batch."""
    torch_threads: Count = 0
    """Threads of the model's process. 0 takes one for a small model, whose products are too short to share (and
    threads that wait for each other while runners want the cores cost ten times the work), and one per core for a
    large one. Numbers are reproducible for one value."""
    device: str = "cpu"
    """Where PyTorch computes, as PyTorch names it."""

    def __post_init__(self) -> None:
        if self.max_new_tokens >= self.context_tokens:
            wanted = f"below grpo.context_tokens={self.context_tokens}"
            problem = SettingProblem(setting="grpo.max_new_tokens", found=str(self.max_new_tokens), expected=wanted)
            raise SettingsError(problems=[problem])
