"""From rollouts to the rows of an update: which model calls are trained, what each weighs, and in which mini-batch.

Pure Python. A *row* is one trained model call, which is what VERL calls a sample. Ragged lists carry their axes:
`P` groups, `G` rollouts of a group, `C` calls of a rollout, `R` rows.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from lit_sql_trainer.profile.grpo import Weighting
from lit_sql_trainer.rollouts.advantage import GroupAdvantages, call_weights
from lit_sql_trainer.rollouts.episodes import Episode


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One trained model call."""

    group: int
    """Index of its group in the batch."""
    sample: int
    """Which of its group's rollouts."""
    turn: int
    """Which of the rollout's trained calls."""
    prompt_ids: tuple[int, ...]
    token_ids: tuple[int, ...]
    """The reply, cut to the longest that the update accepts."""
    advantage: float
    """Of the rollout."""
    weight: float
    """Of this call in its rollout; a rollout's weights sum to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedRows:
    """What is left to train of a batch of rollouts."""

    rows_P: tuple[tuple[Row, ...], ...]  # noqa: N815  names its axis
    """Per group, only groups with a gradient."""
    weighted_tokens: float
    """Reply tokens times their weight over all groups, those without a gradient included: the loss is divided by it."""
    prompts_too_long: int
    """Calls left out because their prompt exceeds the limit."""
    replies_cut: int
    """Calls whose reply was cut at the limit."""

    @property
    def rows(self) -> int:
        return sum(map(len, self.rows_P))


def trained_rows(
    groups_P_G: Sequence[Sequence[Episode]],
    advantages: GroupAdvantages,
    *,
    max_prompt: int,
    max_reply: int,
    weighting: Weighting = Weighting.ROLLOUT,
) -> TrainedRows:
    """The rows of every group whose advantages are not all zero.

    A call with a prompt of more than `max_prompt` tokens is left out and counted; its rollout still stands in its
    group's baseline, and the weights of the rollout's other calls sum to 1. A reply beyond `max_reply` tokens is cut
    there and counted: the tokens before the cut were sampled as they are.
    """
    rows_P: list[tuple[Row, ...]] = []
    weighted, too_long, cut = 0.0, 0, 0
    for group, (rollouts_G, advantages_G) in enumerate(zip(groups_P_G, advantages.advantages_P_G, strict=True)):
        rows: list[Row] = []
        for rollout, advantage in zip(rollouts_G, advantages_G, strict=True):
            kept = [(turn, call) for turn, call in enumerate(rollout.calls) if len(call.prompt_ids) <= max_prompt]
            too_long += len(rollout.calls) - len(kept)
            weights = call_weights(len(kept), weighting=weighting) if kept else ()
            for (turn, call), weight in zip(kept, weights, strict=True):
                cut += len(call.token_ids) > max_reply
                row = Row(
                    group=group,
                    sample=rollout.sample,
                    turn=turn,
                    prompt_ids=tuple(call.prompt_ids),
                    token_ids=tuple(call.token_ids[:max_reply]),
                    advantage=advantage,
                    weight=weight,
                )
                weighted += len(row.token_ids) * weight
                rows.append(row)
        if rows and any(advantage != 0.0 for advantage in advantages_G):
            rows_P.append(tuple(rows))
    return TrainedRows(rows_P=tuple(rows_P), weighted_tokens=weighted, prompts_too_long=too_long, replies_cut=cut)


def deal(trained: TrainedRows, *, parts: int, seed: int, step: int) -> list[list[Row]]:
    """The rows in at most `parts` mini-batches of whole groups, none empty.

    The order depends on `seed` and `step` only, and no row is ever left out to make a number even.
    """
    groups = list(trained.rows_P)
    random.Random(f"{seed}/update/{step}").shuffle(groups)  # noqa: S311  reproducible, not secret
    parts = min(parts, len(groups))
    return [[row for group in groups[part::parts] for row in group] for part in range(parts)]


def row_coefficients(mini_batch: Sequence[Row], *, normaliser: float, factor: float) -> list[float]:
    """What each row's advantage becomes for VERL, so that its loss is the one of the local algorithm.

    The objective of a mini-batch is the sum over rows of weight x advantage x (sum over tokens of the clipped ratio),
    divided by `normaliser`, the batch's weighted tokens over its number of mini-batches. VERL's loss is linear in the
    advantage, so weight and normaliser go into it; `factor` undoes the constant that VERL divides by
    (`plan.UpdatePlan.loss_factor`).
    """
    return [row.advantage * row.weight * factor / normaliser for row in mini_batch]
