"""What VERL's sizes mean for a batch whose number of model calls is not known beforehand. Pure arithmetic.

VERL counts prompts: `ppo_mini_batch_size` is multiplied by `rollout.n` and divided by the number of ranks, and each
rank then cuts its rows into pieces of that many, one optimiser step a piece. An agent's rollout is several rows, so
those pieces would fall anywhere. We keep the meaning (`train_batch_size / ppo_mini_batch_size` optimiser steps a
batch, each on whole groups) by giving the workers room for the largest mini-batch that can occur and handing them one
mini-batch at a time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from lit_sql_trainer.errors import ConfigError
from lit_sql_trainer.verl.foreign import Section

FIXED_MODE = "seq-mean-token-sum-norm"
"""VERL's loss aggregation that divides by a constant, whatever a micro-batch holds."""
DYNAMIC_MODE = "seq-mean-token-sum"
"""The one that does so when micro-batches are packed by tokens (`use_dynamic_bsz`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdatePlan:
    """How one batch becomes optimiser steps."""

    groups: int
    """Tasks per step."""
    rollouts: int
    """Rollouts per task."""
    parts: int
    """Mini-batches, and so optimiser steps, per batch."""
    ranks: int
    """Data-parallel workers."""
    micro_rows: int
    """Rows per forward pass; 0 where they are packed by tokens."""
    worker_mini_batch_size: int
    """What the workers are told as `ppo_mini_batch_size`."""
    capacity: int
    """Rows per rank and optimiser step that the workers then have room for."""
    max_prompt: int
    max_reply: int

    @property
    def loss_mode(self) -> str:
        return FIXED_MODE if self.micro_rows else DYNAMIC_MODE

    @property
    def loss_factor(self) -> float:
        """The constant that VERL divides a mini-batch's summed loss by, on average over ranks.

        With micro-batches of fixed size each one's sum is divided by the reply width, and then by the number that fit
        into `capacity`; packed by tokens, the whole is divided by `capacity`. Gradients are averaged over the ranks.
        """
        if self.micro_rows:
            return float(self.capacity // self.micro_rows * self.max_reply * self.ranks)
        return float(self.capacity * self.ranks)


def update_plan(config: Section, *, max_calls: int, refill_factor: float) -> UpdatePlan:
    """The plan for a composed VERL configuration.

    Args:
        config: nested plain dictionaries, defaults included.
        max_calls: most trained calls a rollout can make.
        refill_factor: see `profile.verl.LitSql.refill_factor`.

    Raises:
        ConfigError: sizes that do not fit, or an option of VERL that this trainer does not carry out.
    """
    actor, rollout, data = (
        _section(config, path) for path in ("actor_rollout_ref.actor", "actor_rollout_ref.rollout", "data")
    )
    _check_supported(config, actor)
    groups, per_part, n = int(data["train_batch_size"]), int(actor["ppo_mini_batch_size"]), int(rollout["n"])
    if n < 2:
        raise ConfigError(f"actor_rollout_ref.rollout.n is {n}: a group needs at least 2 rollouts to be compared")
    if groups % per_part:
        raise ConfigError(
            f"data.train_batch_size {groups} is no multiple of actor.ppo_mini_batch_size {per_part}: each batch is "
            f"dealt into mini-batches of so many tasks"
        )
    trainer = _section(config, "trainer")
    sequence_parallel = int(actor.get("ulysses_sequence_parallel_size") or 1)
    ranks = int(trainer["n_gpus_per_node"]) * int(trainer["nnodes"]) // sequence_parallel
    dynamic = bool(actor.get("use_dynamic_bsz"))
    micro = 0 if dynamic else int(actor.get("ppo_micro_batch_size_per_gpu") or 0)
    if not dynamic and micro < 1:
        raise ConfigError("actor.ppo_micro_batch_size_per_gpu must be set: rows of one forward pass on one GPU")
    parts = groups // per_part
    largest = math.ceil(math.floor(groups * refill_factor) / parts) * n * max_calls
    size = _worker_size(math.ceil(largest / ranks), n=n, ranks=ranks, micro=micro or 1)
    return UpdatePlan(
        groups=groups,
        rollouts=n,
        parts=parts,
        ranks=ranks,
        micro_rows=micro,
        worker_mini_batch_size=size,
        capacity=size * n // ranks,
        max_prompt=int(data["max_prompt_length"]),
        max_reply=int(data["max_response_length"]),
    )


def _worker_size(rows: int, *, n: int, ranks: int, micro: int) -> int:
    """The smallest size that gives every rank room for `rows`, in whole micro-batches, after VERL's own conversion."""
    size = max(1, rows * ranks // n)
    while size * n // ranks < rows or (size * n // ranks) % micro:
        size += 1
    return size


def _check_supported(config: Section, actor: Section) -> None:
    algorithm = _section(config, "algorithm")
    wanted = {
        "algorithm.adv_estimator": (algorithm.get("adv_estimator"), "grpo"),
        "algorithm.use_kl_in_reward": (bool(algorithm.get("use_kl_in_reward")), False),
        "actor_rollout_ref.actor.ppo_epochs": (int(actor.get("ppo_epochs") or 1), 1),
    }
    for key, (found, expected) in wanted.items():
        if found != expected:
            raise ConfigError(f"{key} is {found!r}: this trainer carries out {expected!r} only")
    if actor.get("use_dynamic_bsz") and actor.get("use_kl_loss"):
        raise ConfigError(
            "actor.use_dynamic_bsz and actor.use_kl_loss do not go together here: packed by tokens, VERL would weigh "
            "the KL term by the length of a reply; set use_dynamic_bsz to false"
        )


def _section(config: Section, path: str) -> Section:
    section = config
    for name in path.split("."):
        inner = section.get(name)
        if not isinstance(inner, Mapping):
            raise ConfigError(f"the VERL configuration has no section {path!r}: start from `verl_config(profile)`")
        section = cast("Section", inner)
    return section
