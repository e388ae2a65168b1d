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
    """The unit of weight in the loss."""

    ROLLOUT = "rollout"
    """Each rollout: its calls share a weight of 1."""
    TRANSITION = "transition"
    """Each model call weighs 1, so rollouts with more turns weigh more. For comparison only."""


@settings("grpo")
class GrpoSettings:
    """One training run with the local algorithm."""

    steps: Count = 40
    """Number of updates of the policy; 0 only validates."""
    tasks_per_step: Positive = 16
    """Number of questions in one step."""
    rollouts_per_task: TwoOrMore = 8
    """Number of rollouts of each question; advantages are centred within this group."""
    seed: Count = 0
    """Seed of the order of tasks and of every sampled token."""

    temperature: PositiveNumber = 1.0
    """Temperature of training rollouts; old and new log-probabilities are those of this tempered distribution."""
    max_new_tokens: Positive = 256
    """Longest reply when a request names no length."""
    context_tokens: TwoOrMore = 2048
    """Most tokens of prompt and reply together; the model's own limit applies when it is lower."""

    learning_rate: PositiveNumber = 3e-4
    """Learning rate of Adam, after the warm-up."""
    beta1: BelowOne = 0.9
    """Adam's first beta: the decay of the mean of the gradient."""
    beta2: BelowOne = 0.99
    """Adam's second beta: the decay of the mean of the squared gradient."""
    weight_decay: NotNegative = 0.0
    """Weight decay of AdamW."""
    warmup_steps: Count = 5
    """Steps over which the learning rate rises linearly."""
    max_grad_norm: PositiveNumber = 1.0
    """A longer gradient is shortened to this norm."""
    mini_batches: Positive = 1
    """Optimiser steps for each batch of rollouts; with 1 the update is on-policy and nothing is clipped."""
    micro_batch_tokens: Positive = 8192
    """Padded tokens in one forward pass of the update; limits memory, and changes results only by rounding."""

    clip_low: BelowOne = 0.2
    """A token's probability ratio may fall by this much before its gradient is cut."""
    clip_high: NotNegative = 0.28
    """A token's probability ratio may rise by this much before its gradient is cut."""
    kl_coefficient: NotNegative = 0.0
    """Weight of the divergence from the start model; 0 keeps no second model in memory."""
    normalise_advantages: bool = True
    """Divide advantages by the standard deviation of their group."""
    weighting: Weighting = Weighting.ROLLOUT
    """The unit of weight in the loss: each rollout, or each of its model calls."""
    refill_factor: RefillFactor = 1.0
    """Roll out up to this many times `tasks_per_step` tasks to replace all-right and all-wrong groups; at most 2."""

    validate_every: Count = 20
    """Steps between validations; 0 validates only at the start and the end."""
    checkpoint_every: Positive = 10
    """Steps between checkpoints."""

    max_dropped_share: Share = 0.02
    """Largest share of dropped rollouts among the last `dropped_window`; with more, the run stops."""
    dropped_window: Positive = 256
    """Number of latest rollouts over which `max_dropped_share` counts."""
    rollout_timeout_s: PositiveNumber = 60.0
    """Seconds after which a rollout is given up and dropped."""
    runner_timeout_s: RunnerTimeout = 45.0
    """Seconds without a heartbeat (sent every 10 s) after which a runner counts as dead and its rollout is dropped."""
    stall_timeout_s: PositiveNumber = 180.0
    """Seconds without the end of any rollout after which the run stops."""
    poll_interval_s: PositiveNumber = 0.05
    """Seconds between two checks of the store for ended rollouts."""

    max_batch: Positive = 128
    """Most requests that the server decodes together."""
    batch_window_s: NotNegative = 0.004
    """Seconds that the server waits for more requests before it starts a batch."""
    torch_threads: Count = 0
    """Threads of the model's process; 0 chooses. It takes one for a small model, whose products are too short to share
    (and threads that wait for each other while runners want the cores cost ten times the work), and one per core for a
    large one. Numbers are reproducible for one value."""
    device: str = "cpu"
    """The device on which PyTorch computes, as PyTorch names it."""

    def __post_init__(self) -> None:
        if self.max_new_tokens >= self.context_tokens:
            wanted = f"below grpo.context_tokens={self.context_tokens}"
            problem = SettingProblem(setting="grpo.max_new_tokens", found=str(self.max_new_tokens), expected=wanted)
            raise SettingsError(problems=[problem])
