"""Everything that can go wrong on our side, in one family.

What the policy does wrong is a verdict and a number; what we do wrong is one of these, so that nobody trains on our
outage. An error's arguments are its fields, which keeps it picklable across runner processes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class TrainerError(Exception):
    """Base of every error that lit-sql-trainer raises on purpose; the commands print its message as one line."""


class ConfigError(TrainerError):
    """A profile, a `--set` value or a combination of them makes no sense."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingProblem:
    """One setting that is not what it must be."""

    setting: str
    """As `--set` knows it."""
    found: str
    expected: str

    def __str__(self) -> str:
        return f"--set {self.setting}={self.found}: expected {self.expected}"


class SettingsError(ConfigError):
    """Settings that make no sense, all of them at once.

    Args:
        problems: fields whose value is none of theirs.
        others: what else is wrong, such as a key that does not exist.
    """

    def __init__(self, problems: Sequence[SettingProblem], others: Sequence[ConfigError] = ()) -> None:
        self.problems, self.others = tuple(problems), tuple(others)
        super().__init__(self.problems, self.others)

    def __str__(self) -> str:
        return "; ".join(map(str, (*self.others, *self.problems)))


class UnknownProfileError(ConfigError):
    """No profile has the given name."""

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        self.name, self.known = name, known
        super().__init__(name, known)

    def __str__(self) -> str:
        return f"unknown profile {self.name!r}; profiles: {', '.join(self.known)}"


class DataError(TrainerError):
    """The data folder cannot be trained on: a split or a database is missing, or a gold query is broken."""


class ModelError(TrainerError):
    """The model cannot be trained: the folder lacks a part, or the name cannot be loaded."""


class SetupError(TrainerError):
    """This machine or this environment cannot run the library: versions, start method, port."""


class RunError(TrainerError):
    """A run folder is missing, damaged, or does not fit what was asked of it."""


class RolloutError(TrainerError):
    """One rollout ended for a reason that is not the policy's: it is dropped and counted, never rewarded."""


class CanaryError(TrainerError):
    """The first rollout left no trainable tokens: hours of training would have changed nothing."""


class FailureLimitError(TrainerError):
    """So many rollouts failed for our reasons that going on would train on an outage."""


class ExportError(TrainerError):
    """What was written does not hold the trained weights, or does not answer like the checkpoint: it is not kept."""
