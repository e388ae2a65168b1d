"""Plans, collects and counts rollouts: one engine for every back end."""

from __future__ import annotations

from lit_sql_trainer.rollouts.advantage import group_advantages
from lit_sql_trainer.rollouts.drops import DropWindow
from lit_sql_trainer.rollouts.episodes import Collected, DroppedRollout, Episode, Sampled
from lit_sql_trainer.rollouts.groups import Gathering, StepBatch, grouped
from lit_sql_trainer.rollouts.metrics import describe_batch, describe_validation
from lit_sql_trainer.rollouts.plan import PlannedRollout

__all__ = [  # noqa: RUF022  grouped by meaning
    # what is asked for, and what comes back
    "PlannedRollout",
    "Collected",
    "Episode",
    "Sampled",
    "DroppedRollout",
    "DropWindow",
    # from rollouts to a step
    "grouped",
    "group_advantages",
    "Gathering",
    "StepBatch",
    "describe_batch",
    "describe_validation",
]
