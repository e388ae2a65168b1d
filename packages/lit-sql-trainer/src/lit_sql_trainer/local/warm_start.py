"""Supervised steps on demonstrations: how the tiny model comes to write SQL at all.

Plain next-token training on the reply only (AdamW, linear warm-up, cosine to a tenth). Left-padded batches of similar
length; every position of the reply counts the same.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from lit_sql_trainer.errors import ConfigError
from lit_sql_trainer.local.causal import CausalModel


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmStartSettings:
    """The supervised stage; the defaults are those that the shipped model was built with."""

    steps: int = 3000
    batch: int = 16
    learning_rate: float = 3e-3
    warmup_steps: int = 30
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1:
            raise ConfigError(f"steps and batch must be at least 1, got {self.steps} and {self.batch}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """Token ids of one prompt and of the reply, the end token included."""

    prompt_ids: tuple[int, ...]
    reply_ids: tuple[int, ...]


Report = Callable[[int, float, float], None]
"""Called with (step, loss, seconds since the start)."""


def warm_start(
    model: CausalModel, examples: Sequence[Example], settings: WarmStartSettings, report: Report | None = None
) -> None:
    """Train `model` in place. Deterministic for one seed and number of threads."""
    if not examples:
        raise ConfigError("no examples to warm-start on: the training split is empty")
    draw = random.Random(settings.seed)  # noqa: S311  reproducible order, not a secret
    torch.manual_seed(settings.seed)  # pyright: ignore[reportUnknownMemberType]  torch leaves it untyped
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, betas=(0.9, 0.98), weight_decay=settings.weight_decay
    )
    model.train()
    started = time.monotonic()
    batches: list[list[Example]] = []
    for step in range(settings.steps):
        if not batches:
            batches = _epoch(examples, settings.batch, draw)
        rising = min(1.0, (step + 1) / settings.warmup_steps)
        falling = 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * step / settings.steps))
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * rising * falling
        loss = reply_loss(model, batches.pop())
        optimizer.zero_grad()
        loss.backward()  # pyright: ignore[reportUnknownMemberType]  torch leaves it untyped
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.max_grad_norm)
        optimizer.step()  # pyright: ignore[reportUnknownMemberType]  torch leaves it untyped
        if report:
            report(step + 1, loss.item(), time.monotonic() - started)
    model.eval()


def reply_loss(model: CausalModel, batch: Sequence[Example]) -> torch.Tensor:
    """Mean cross-entropy of the reply tokens of a batch, in nats."""
    longest = max(len(each.prompt_ids) + len(each.reply_ids) for each in batch)
    reply = max(len(each.reply_ids) for each in batch)
    ids = torch.zeros((len(batch), longest), dtype=torch.long)
    seen = torch.zeros_like(ids)
    counts = torch.zeros((len(batch), reply))
    for row, each in enumerate(batch):
        both = each.prompt_ids + each.reply_ids
        ids[row, longest - len(both) :] = torch.tensor(both)
        seen[row, longest - len(both) :] = 1
        counts[row, reply - len(each.reply_ids) :] = 1
    positions = (seen.cumsum(1) - 1).clamp(min=0)
    hidden = model.base_model(input_ids=ids, attention_mask=seen, position_ids=positions).last_hidden_state
    logprobs = torch.log_softmax(model.get_output_embeddings()(hidden[:, -reply - 1 : -1]).float(), -1)
    picked = logprobs.gather(-1, ids[:, -reply:, None])[..., 0]
    return -(picked * counts).sum() / counts.sum()


def _epoch(examples: Sequence[Example], batch: int, draw: random.Random) -> list[list[Example]]:
    """All examples once, in batches of similar length, the batches in random order."""
    order = list(examples)
    draw.shuffle(order)
    pool = 8 * batch
    batches: list[list[Example]] = []
    for start in range(0, len(order), pool):
        alike = sorted(order[start : start + pool], key=lambda each: len(each.prompt_ids) + len(each.reply_ids))
        batches += [alike[at : at + batch] for at in range(0, len(alike), batch)]
    draw.shuffle(batches)
    return batches
