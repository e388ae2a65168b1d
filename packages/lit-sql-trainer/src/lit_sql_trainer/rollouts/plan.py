"""Which rollouts a step or a validation does, each with its seed: the same for every back end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lit_sql_trainer.rollouts.seeds import TaskOrder, sampling_seed

Row = Mapping[str, object]
"""A task as the agent gets it: `SpiderTask.to_row()`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRollout:
    """One rollout to do."""

    group: int
    """Number of its group in the run; a task drawn twice makes two groups."""
    task: int
    """Index in the dataset."""
    sample: int
    """Which of its group's rollouts."""
    row: Row
    """What the agent gets."""
    seed: int


def training_plan(
    tasks: Sequence[Row], order: TaskOrder, count: int, *, rollouts: int, seed: int, step: int
) -> list[PlannedRollout]:
    """`rollouts` of each of the next `count` tasks in `order`, which moves on; `step` counts updates done before."""
    first = order.consumed
    return [
        PlannedRollout(
            group=first + offset,
            task=index,
            sample=sample,
            row=tasks[index],
            seed=sampling_seed(seed, phase="train", step=step, task=first + offset, sample=sample),
        )
        for offset, index in enumerate(order.take(count))
        for sample in range(rollouts)
    ]


def validation_plan(tasks: Sequence[Row], *, seed: int) -> list[PlannedRollout]:
    """Each task once, with the same seed in every validation."""
    return [
        PlannedRollout(
            group=index,
            task=index,
            sample=0,
            row=row,
            seed=sampling_seed(seed, phase="val", step=0, task=index, sample=0),
        )
        for index, row in enumerate(tasks)
    ]
