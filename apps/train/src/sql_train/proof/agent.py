"""The agent of the proof run: `LitSQLAgent` as it is, in a world where single things are broken on purpose."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field
from typing import Any

import agentlightning as agl  # pyright: ignore[reportMissingTypeStubs]  typed inline, but without a marker

from lit_sql_trainer.agent.agent import LitSQLAgent
from lit_sql_trainer.rollouts.wire import MODEL_RESOURCE

NOWHERE = "http://127.0.0.1:9/v1"
"""Nothing listens on the discard port."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One training rollout."""

    step: int
    task: int
    """Index in the training data."""
    sample: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakage:
    """What is broken, where."""

    endpoint: frozenset[Place] = field(default_factory=frozenset[Place])
    """Rollouts whose model cannot be reached."""
    runner: frozenset[Place] = field(default_factory=frozenset[Place])
    """Rollouts in which the runner's process is killed."""
    gold: frozenset[int] = field(default_factory=frozenset[int])
    """Training tasks whose gold query fails."""


class BrokenWorld(LitSQLAgent):
    """Args as `LitSQLAgent`, and `breakage`: what this agent will meet."""

    def __init__(self, *, breakage: Breakage, **parts: Any) -> None:
        super().__init__(**parts)
        self.breakage = breakage

    def rollout(self, task: dict[str, Any], resources: agl.NamedResources, rollout: agl.Rollout) -> float:
        """As the agent's own, after the breakage has been arranged."""
        if rollout.mode == "train":
            place = _place(rollout)
            if place in self.breakage.runner:
                os.kill(os.getpid(), signal.SIGKILL)
            if place in self.breakage.endpoint:
                resources = {**resources, MODEL_RESOURCE: agl.LLM(endpoint=NOWHERE, model="nobody", api_key="none")}
            if place.task in self.breakage.gold:
                task = {**task, "query": "SELECT nothing FROM nowhere"}
        return super().rollout(task, resources, rollout)


def _place(rollout: agl.Rollout) -> Place:
    metadata = rollout.metadata or {}
    return Place(step=int(metadata["step"]), task=int(metadata["task"]), sample=int(metadata["sample"]))
