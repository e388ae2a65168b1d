"""The settings of a run, as frozen values that are checked once, when they are made.

A profile is a complete, named set of settings; `--set key=value` changes single fields of it. Nothing later in a run
reads configuration again or looks at an environment variable.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import field
from enum import StrEnum
from pathlib import Path

from lit_sql_trainer.errors import ConfigError
from lit_sql_trainer.profile.checked import Count, Positive, PositiveNumber, settings
from lit_sql_trainer.profile.grpo import GrpoSettings
from lit_sql_trainer.profile.monitors import MonitorSettings
from lit_sql_trainer.profile.verl import VerlSettings
from sql_graph import CheckMode, PromptStyle
from sql_graph.options import RewriteForm

TRAINED_NODES = r"^(write|rewrite)_query$"
"""Graph nodes whose model calls are trained: the two that write SQL, never the check."""


@settings("rollout")
class RolloutSettings:
    """How one question is answered: turns, prompt, sampling, limits."""

    max_turns: Positive = 3
    """Most queries that the agent runs for one question: the first and its rewrites."""
    check: CheckMode = CheckMode.RULES
    """What checks a result: the model, fixed rules, both, or nothing."""
    rewrite: RewriteForm = RewriteForm.LESSON
    """How the agent asks again: by what failures teach, or by the failed query as the model's own words."""
    style: PromptStyle = PromptStyle.FULL
    """Full prompts as in the tutorial, or compact ones for a small model."""
    prompt_budget_tokens: Positive = 3072
    """Most estimated tokens of a prompt; whole tables are left out of the schema, the least relevant first."""
    max_tokens: Positive = 512
    """Most tokens of a reply; every request names it, so that no endpoint's default applies."""
    request_timeout_s: PositiveNumber = 30.0
    """Seconds for one request to the model; from an endpoint with a heartbeat, seconds of silence."""
    max_retries: Count = 2
    """Most repeated requests after a timeout, a cut connection, a 429 or a 5xx."""
    deadline_s: PositiveNumber = 180.0
    """Seconds after the start of a rollout in which a model call may begin."""

    @property
    def longest_s(self) -> float:
        """Upper bound of a rollout's model time: the deadline, then a last call that fails as slowly as it can.

        It must stay below the time after which the algorithm gives a rollout up, because that does not stop the
        runner: a later end would count a rollout twice.
        """
        return self.deadline_s + self.request_timeout_s * (self.max_retries + 1)

    def sampling(self, published: Mapping[str, object], *, greedy: bool) -> dict[str, object]:
        """Sampling parameters of a request: what the algorithm published with the model, completed by ours.

        `greedy` sets the temperature to 0 whatever was published, because the library publishes one set of
        parameters for training and validation alike.
        """
        explore: dict[str, object] = {"temperature": 1.0, "top_p": 1.0, "max_tokens": self.max_tokens, **published}
        return {**explore, "temperature": 0.0, "top_p": 1.0} if greedy else explore


class Backend(StrEnum):
    """Who trains."""

    LOCAL = "local"
    """This package, in PyTorch, in one process."""
    VERL = "verl"
    """VERL with vLLM and Ray, on GPUs."""


@settings("")
class Profile:
    """All settings of `train NAME`."""

    name: str
    """The name that `train` takes; names of run folders begin with it."""
    summary: str
    """One line for the list of profiles."""
    model: str | None = None
    """Folder or Hugging Face id; None is the tiny model of this package."""
    data: Path | None = None
    """Folder with `train.parquet`, `validation.parquet` and `database/`; None is the embedded benchmark."""
    runners: Positive = 2
    """Number of processes that run rollouts."""
    active_agent: str = TRAINED_NODES
    """Regular expression of the graph nodes whose calls are trained."""
    train_tasks: Positive | None = None
    """Use only this many training tasks, from the start; None uses all."""
    validation_tasks: Positive | None = None
    """Use only this many validation tasks, from the start; None uses all."""
    max_span_megabytes: Positive = 96
    """Megabytes of traces kept in memory; older traces are dropped. A step's traces must fit."""
    rollout: RolloutSettings = field(default_factory=RolloutSettings)
    """How one question is answered."""
    grpo: GrpoSettings | None = field(default_factory=GrpoSettings)
    """Settings of the local algorithm; None when VERL trains."""
    verl: VerlSettings | None = None
    """Settings of VERL; None when the local algorithm trains."""
    monitors: MonitorSettings = field(default_factory=MonitorSettings)
    """Limits of the monitors, and the effect of an alarm."""

    @property
    def backend(self) -> Backend:
        """Who trains."""
        return Backend.LOCAL if self.verl is None else Backend.VERL

    @property
    def local(self) -> GrpoSettings:
        """The local algorithm's settings.

        Raises:
            ConfigError: this profile trains with VERL.
        """
        if self.grpo is None:
            raise ConfigError(f"profile {self.name!r} trains with VERL and has no settings grpo.*")
        return self.grpo

    @property
    def gpu(self) -> VerlSettings:
        """VERL's settings.

        Raises:
            ConfigError: this profile trains with the local algorithm.
        """
        if self.verl is None:
            raise ConfigError(f"profile {self.name!r} trains with the local algorithm and has no settings verl.*")
        return self.verl

    @property
    def rollout_timeout_s(self) -> float:
        """The algorithm gives a rollout up after this many seconds."""
        return self.local.rollout_timeout_s if self.verl is None else self.verl.lit_sql.rollout_timeout_s

    def __post_init__(self) -> None:
        if (self.grpo is None) == (self.verl is None):
            raise ConfigError(f"profile {self.name!r} must have either grpo or verl settings: one algorithm trains")
        if wrong := [*self._rollout_time(), *self._verl_sizes(), *self._active_agent()]:
            raise ConfigError("; ".join(wrong))

    def _rollout_time(self) -> Iterator[str]:
        if self.rollout.longest_s >= self.rollout_timeout_s:
            name = "grpo.rollout_timeout_s" if self.verl is None else "verl.lit_sql.rollout_timeout_s"
            yield (
                f"a rollout could take {self.rollout.longest_s:g} s (rollout.deadline_s plus one call with its "
                f"retries) but is given up after {name}={self.rollout_timeout_s:g}: raise that, "
                f"or lower rollout.deadline_s or rollout.request_timeout_s"
            )

    def _verl_sizes(self) -> Iterator[str]:
        if self.verl is None:
            return
        for name, limit in (("prompt_budget_tokens", "max_prompt_length"), ("max_tokens", "max_response_length")):
            value, most = getattr(self.rollout, name), getattr(self.verl.data, limit)
            if value > most:
                yield (
                    f"rollout.{name}={value} is more than verl.data.{limit}={most}: VERL would cut what the agent "
                    f"may send; lower the first or raise the second"
                )

    def _active_agent(self) -> Iterator[str]:
        try:
            re.compile(self.active_agent)
        except re.error as error:
            yield f"active_agent {self.active_agent!r} is no regular expression: {error}"
