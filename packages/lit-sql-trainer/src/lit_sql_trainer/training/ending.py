"""What a run leaves when it ends, and which run a later one goes on with."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from pathlib import Path

from lit_sql_trainer.errors import RunError
from lit_sql_trainer.profile.profile import Profile
from lit_sql_trainer.runs.folder import RunFolder, open_run

DONE = "all steps done"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainResult:
    """Where a run left what it did."""

    run: RunFolder
    steps: int
    """Steps done, those before a resume included."""
    checkpoint: Path | None
    """The last checkpoint; None when the run ended before its first."""
    interrupted: bool
    """Whether somebody stopped it before its last step."""
    signal_number: int | None = None
    """The signal that did; None when nobody stopped it."""
    alarm: str = ""
    """The alarm that ended it before its last step (`monitors.stop_on_alarm`); empty when none did."""


def stopped_by(number: int) -> str:
    """A signal as the person knows it who sent it."""
    return "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name


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
