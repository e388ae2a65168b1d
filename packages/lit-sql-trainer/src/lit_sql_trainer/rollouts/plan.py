"""Which rollouts a step or a validation does, each with its seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRollout:
    """One rollout to do."""

    group: int
    """Number of its group in the run; a task drawn twice makes two groups."""
    task: int
    """Index in the dataset."""
    sample: int
    """Which of its group's rollouts."""
    row: Any
    """What the agent gets."""
    seed: int
