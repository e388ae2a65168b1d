"""One training run: what is trained, on what, and who is told. Every back end is handed the same."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lit_sql_trainer.data import TrainingData
from lit_sql_trainer.errors import RunError
from lit_sql_trainer.profile.profile import Profile
from lit_sql_trainer.runs.console import Display
from lit_sql_trainer.runs.folder import RunFolder, open_run


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A run that may begin: its folder exists, its data and its model were checked."""

    profile: Profile
    run: RunFolder
    data: TrainingData
    model: str
    """Folder or Hugging Face id."""
    display: Display
    port: int | None
    """Of the rollout store; None takes a free one."""
    steps: int
    """Steps of the whole run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What a back end left when it ended, for whatever reason."""

    checkpoint: Path | None
    """The last one; None when the run ended before its first."""
    since: int
    """The step that this part of the run began after: alarms up to it belong to an earlier part."""
    kept: str
    """What a person finds where."""
    otherwise: str
    """Why it ended before its last step, where neither a signal nor a monitor did that."""


def resumed_run(profile: Profile, resume: Path | str, runs: Path) -> RunFolder:
    """The run to go on with.

    Raises:
        RunError: there is none, or it was started with another profile.
    """
    run = open_run(resume, root=runs)
    started_as = run.config().get("name")
    if started_as != profile.name:
        raise RunError(
            f"run {run.name!r} was started with profile {started_as!r}, not {profile.name!r}: resume it with "
            f"`train {started_as} --resume {resume}`"
        )
    return run
