"""Everything that can go wrong on our side, in one family.

What the policy does wrong is a verdict and a number; what we do wrong is one of these, so that nobody trains on our
outage.

One convention: a failure that a caller, a test or a report tells from others has a class of its own, a dataclass whose
fields are the facts and whose `__str__` builds the sentence. Anything else is one of the plain classes, made of a ready
sentence that only a person reads; where the next step is shown apart from it, of `problem` and `remedy`. All of them
survive pickling, from a runner's process or Ray's to ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


class TrainerError(Exception):
    """Base of every error that lit-sql-trainer raises on purpose; the commands print its message as one line."""

    remedy: str = ""
    """The next step, where it is no part of the sentence."""

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(problem)
        self.remedy = remedy

    @property
    def problem(self) -> str:
        """The sentence without the remedy."""
        return str(self.args[0]) if self.args else str(self)

    def __str__(self) -> str:
        return f"{self.problem}: {self.remedy}" if self.remedy else self.problem

    def __reduce__(self) -> tuple[object, ...]:
        return _restored, (type(self), self.args), self.__dict__


def _restored(kind: type[TrainerError], arguments: tuple[object, ...]) -> TrainerError:
    return kind.__new__(kind, *arguments)


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


@dataclass(eq=False, kw_only=True)
class SettingsError(ConfigError):
    """Settings that make no sense, all of them at once."""

    problems: Sequence[SettingProblem]
    """Fields whose value is none of theirs."""
    others: Sequence[ConfigError] = ()
    """What else is wrong, such as a key that does not exist."""

    def __str__(self) -> str:
        return "; ".join(map(str, (*self.others, *self.problems)))


@dataclass(eq=False, kw_only=True)
class UnknownProfileError(ConfigError):
    """No profile has the given name."""

    name: str
    known: tuple[str, ...]

    def __str__(self) -> str:
        return f"unknown profile {self.name!r}; profiles: {', '.join(self.known)}"


class DataError(TrainerError):
    """The data folder cannot be trained on: a split or a database is missing, or a gold query is broken."""


@dataclass(eq=False, kw_only=True)
class NoDataFolderError(DataError):
    """There is no such data folder."""

    folder: Path

    def __str__(self) -> str:
        commands = "`spider-data download`, `convert`, `import` or `mini`"
        return f"no data folder {str(self.folder)!r}: make one with {commands}"


@dataclass(eq=False, kw_only=True)
class MissingSplitError(DataError):
    """A data folder lacks the file of a split."""

    folder: Path
    split: str
    there: tuple[str, ...]
    """The splits that it has."""

    def __str__(self) -> str:
        return (
            f"data folder {str(self.folder)!r} has no {self.split}.parquet (splits there: {', '.join(self.there)}): "
            f"make it with `spider-data convert` (Spider) or `spider-data import` (your own questions)"
        )


@dataclass(eq=False, kw_only=True)
class EmptySplitError(DataError):
    """The file of a split holds no tasks."""

    file: Path

    def __str__(self) -> str:
        return f"{str(self.file)!r} holds no tasks: choose another split, or make the data again"


@dataclass(eq=False, kw_only=True)
class MissingDatabasesError(DataError):
    """Tasks name databases that the data folder lacks."""

    folder: Path
    missing: tuple[str, ...]
    wanted: int
    """Databases that the tasks name."""

    def __str__(self) -> str:
        shown = ", ".join(self.missing[:5]) + (", …" if len(self.missing) > 5 else "")
        return (
            f"{len(self.missing)} of {self.wanted} databases are missing under {str(self.folder)!r}: {shown}; expected "
            f"database/<db_id>/<db_id>.sqlite, see `spider-data check`"
        )


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
