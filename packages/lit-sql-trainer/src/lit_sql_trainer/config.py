"""What a run can be told, as frozen values that are checked once, at birth.

A profile is a complete, named set of settings; `--set key=value` changes single fields of it. Nothing later in a run
reads configuration again or looks at an environment variable.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sql_graph import CheckMode, PromptStyle

from lit_sql_trainer.errors import ConfigError
from lit_sql_trainer.local.settings import GrpoSettings

LIBRARY_TIMEOUT_S = 1200
"""After this the library gives a rollout up, but not its runner: a rollout must end long before."""

TRAINED_NODES = r"^(write|rewrite)_query$"
"""Graph nodes whose model calls are trained: the two that write SQL, never the check."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutSettings:
    """How one question is answered: turns, prompt, sampling, limits."""

    max_turns: int = 3
    """Queries the agent may run for one question: the first and its rewrites."""
    check: CheckMode = CheckMode.LLM
    """Who looks at a result: the model, fixed rules, or both."""
    style: PromptStyle = PromptStyle.FULL
    prompt_budget_tokens: int = 3072
    """Room for a whole prompt; the schema is cut by tables, the less relevant first."""
    temperature: float = 1.0
    """In training, unless the algorithm says otherwise. Validation is greedy."""
    top_p: float = 1.0
    max_tokens: int = 512
    """Longest reply."""
    request_timeout_s: float = 30.0
    """One request to the model."""
    max_retries: int = 2
    """Further requests after a timeout, a cut connection, a 429 or a 5xx."""
    deadline_s: float = 180.0
    """No model call begins later than this after the rollout's start."""
    seed: int = 0
    """With step, task, sample and call it fixes each request's seed."""

    def __post_init__(self) -> None:
        for name in ("max_turns", "max_tokens", "prompt_budget_tokens", "request_timeout_s", "deadline_s"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"rollout.{name} must be positive, got {getattr(self, name)}")
        if self.max_retries < 0:
            raise ConfigError(f"rollout.max_retries must not be negative, got {self.max_retries}")
        if not 0 < self.temperature <= 5:
            raise ConfigError(f"rollout.temperature must lie in (0, 5] to explore, got {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"rollout.top_p must lie in (0, 1], got {self.top_p}")
        if self.longest_s >= LIBRARY_TIMEOUT_S / 2:
            raise ConfigError(
                f"a rollout could take {self.longest_s:g} s (deadline_s plus one call with its retries); the library "
                f"gives up at {LIBRARY_TIMEOUT_S} s, so keep it under {LIBRARY_TIMEOUT_S // 2}"
            )

    @property
    def longest_s(self) -> float:
        """Upper bound of a rollout's model time: the deadline, then a last call that fails as slowly as it can."""
        return self.deadline_s + self.request_timeout_s * (self.max_retries + 1)

    def sampling(self, published: Mapping[str, Any], *, greedy: bool) -> dict[str, Any]:
        """Sampling parameters of a request: what the algorithm published, completed by ours.

        `greedy` sets the temperature to 0 whatever was published, because the library publishes one set of
        parameters for training and validation alike.
        """
        ours = {"temperature": self.temperature, "top_p": self.top_p, "max_tokens": self.max_tokens}
        return {**ours, **published, **({"temperature": 0.0, "top_p": 1.0} if greedy else {})}


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Everything `train NAME` needs to know."""

    name: str
    summary: str
    """One line for the list of profiles."""
    model: str | None = None
    """Folder or Hugging Face id; None is the tiny model of this package."""
    data: Path | None = None
    """Folder with `train.parquet`, `validation.parquet` and `database/`; None is the embedded benchmark."""
    runners: int = 2
    """Processes that run rollouts."""
    active_agent: str = TRAINED_NODES
    """Regular expression of the graph nodes whose calls are trained."""
    train_tasks: int | None = None
    """Use only the first so many training tasks; None uses all."""
    validation_tasks: int | None = None
    """Use only the first so many validation tasks; None uses all."""
    max_span_megabytes: int = 96
    """Traces kept in memory; older ones are dropped. A step's traces must fit."""
    rollout: RolloutSettings = field(default_factory=RolloutSettings)
    grpo: GrpoSettings = field(default_factory=GrpoSettings)

    def __post_init__(self) -> None:
        if self.runners < 1:
            raise ConfigError(f"runners must be at least 1, got {self.runners}")
        for name in ("train_tasks", "validation_tasks"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} must be at least 1, or none for all, got {value}")
        try:
            re.compile(self.active_agent)
        except re.error as error:
            raise ConfigError(f"active_agent {self.active_agent!r} is no regular expression: {error}") from error
