"""What a step and a validation say about themselves: the lines of `metrics.jsonl`, whoever trains. Pure Python.

docs/report.md explains every key. A writer fills in a whole `StepMetrics` or `ValidationMetrics` as far as its back end
measures it; a reader takes a `MetricLine`, in which any key but `event` and `step` may be absent.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Required, TypedDict

from lit_sql_trainer.rollouts.episodes import Collected
from lit_sql_trainer.rollouts.groups import StepBatch


class BatchMetrics(TypedDict, total=False):
    """The rollouts of a step."""

    reward: float | None
    """Mean over the rollouts that count; None without any."""
    reward_std: float
    rollouts: int
    dropped: int
    drop_reasons: dict[str, int]
    dropped_total: int
    groups: int
    refilled_groups: int
    filtered_groups: int
    zero_variance_share: float
    turns: float | None
    response_tokens: float | None
    response_tokens_max: int


class UpdateMetrics(TypedDict, total=False):
    """The update of a step; None where a back end does not measure it."""

    loss: float | None
    grad_norm: float | None
    """Before clipping, mean over mini-batches."""
    clip_fraction: float | None
    kl_start: float | None
    """Estimated divergence from the start per token; 0 when not measured."""
    entropy: float | None
    """Of the policy at the sampled positions, in nats."""
    logprob_gap: float
    """Largest difference between log-probabilities at sampling and in the first mini-batch; should be rounding."""
    learning_rate: float | None
    optimiser_steps: int
    trained_tokens: int
    rows: int
    skipped_updates: int
    prompts_too_long: int
    replies_cut: int
    gpu_memory_gb: float | None
    host_memory_gb: float | None


class StepMetrics(BatchMetrics, UpdateMetrics, total=False):
    """A step, after its update."""

    step: Required[int]
    tokens_per_s: float | None
    server_busy_s: float
    batches: int
    seconds: float
    seconds_sync: float
    seconds_rollout: float
    seconds_adapt: float
    seconds_update: float
    rss_mb: float


class LevelScore(TypedDict):
    """Validation on the tasks of one hardness."""

    reward: float | None
    rollouts: int


class ValidationNumbers(TypedDict):
    """The rollouts of a validation."""

    reward: float | None
    standard_error: float | None
    rollouts: int
    dropped: int
    drop_reasons: dict[str, int]
    hardness: dict[str, LevelScore]


class ValidationMetrics(ValidationNumbers):
    """A validation."""

    step: int
    best: bool
    seconds: float


class Tally(TypedDict, total=False):
    """What the runners' own lines add to a step or a validation; see `runs.tally`."""

    outcomes: dict[str, int]
    turn_counts: dict[str, int]
    stops: dict[str, int]
    select_star: int
    constant: int
    empty_matches: int
    main_only: int
    suites: int
    query_seconds_p95: float | None
    query_seconds_max: float | None


class MetricLine(StepMetrics, Tally, total=False):
    """Any line of `metrics.jsonl`, as somebody reads it who does not know which version or back end wrote it."""

    event: Required[str]
    """`step`, `validation`, `alarm` or `end`."""
    standard_error: float | None
    best: bool
    monitor: str
    value: float
    limit: float
    text: str
    reason: str


Measure = Callable[[MetricLine], float | None]
"""Reads one number off a line; None where the line does not measure it."""


def measure(key: str) -> Measure:
    """The number under a key."""

    def read(line: MetricLine) -> float | None:
        value: float | None = line.get(key)
        return None if value is None else float(value)

    return read


def share(key: str, of: str | None = None) -> Measure:
    """A count divided by another count of the same line, or by all judged rollouts when none is named."""

    def read(line: MetricLine) -> float | None:
        outcomes: Mapping[str, int] = line.get("outcomes") or {}
        total = {None: sum(outcomes.values()), "match": outcomes.get("match", 0)}.get(of, line.get(str(of)))
        value = measure(key)(line)
        return value / total if total and value is not None else None

    return read


def when_trained(key: str) -> Measure:
    """A number of the update: a step that had nothing to train on writes 0, which is no measurement."""
    return lambda line: measure(key)(line) if line.get("trained_tokens", 1) else None


def describe_batch(batch: StepBatch, *, dropped_total: int) -> BatchMetrics:
    """A step's rollouts in numbers; `dropped_total` counts those lost over the whole run."""
    collected = batch.collected
    rewards = [episode.reward for episode in collected.episodes]
    lengths = [len(call.token_ids) for episode in collected.episodes for call in episode.calls]
    return {
        "reward": mean(rewards),
        "reward_std": deviation(rewards),
        "rollouts": len(rewards),
        "dropped": len(collected.dropped),
        "drop_reasons": dict(Counter(dropped.reason for dropped in collected.dropped)),
        "dropped_total": dropped_total,
        "groups": len(batch.groups),
        "refilled_groups": batch.refilled_groups,
        "filtered_groups": batch.filtered_groups,
        "zero_variance_share": batch.advantages.zero_variance_share,
        "turns": mean([len(episode.calls) for episode in collected.episodes]),
        "response_tokens": mean(lengths),
        "response_tokens_max": max(lengths, default=0),
    }


def describe_validation(collected: Collected, tasks: Sequence[Mapping[str, object]]) -> ValidationNumbers:
    """A validation's rollouts in numbers, over all tasks and by each task's `hardness`."""
    rewards = [episode.reward for episode in collected.episodes]
    by_level: dict[str, list[float]] = defaultdict(list)
    for episode in collected.episodes:
        by_level[str(tasks[episode.group].get("hardness", "unknown"))].append(episode.reward)
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


def mean(values: Sequence[float]) -> float | None:
    """None of nothing."""
    return math.fsum(values) / len(values) if values else None


def deviation(values: Sequence[float]) -> float:
    """Of a sample; 0 below two values."""
    if len(values) < 2:
        return 0.0
    centre = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - centre) ** 2 for value in values) / (len(values) - 1))
