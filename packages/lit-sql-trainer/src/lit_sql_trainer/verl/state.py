"""Where a run stands beyond VERL's own checkpoint: task order, best validation. Plain values in one JSON file."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from lit_sql_trainer.errors import RunError
from lit_sql_trainer.runs.folder import write_json

STATE_FILE = "lit_sql_state.json"
"""In each `global_step_<n>` folder, beside VERL's own parts."""
BEST = "best"
"""Folder of the best validation's checkpoint; its files are links to those of the step, as long as both exist."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerlState:
    """What a resumed run must know."""

    seed: int
    step: int = 0
    """Updates done."""
    tasks_consumed: int = 0
    """Position in the endless order of tasks."""
    best_validation: float | None = None
    best_step: int | None = None
    last_gain_step: int = 0
    """When validation last gained more than its standard error."""
    reference_validation: float | None = None
    """What it had been before it did: the value that the next gain is measured from."""

    def validated(self, reward: float, standard_error: float) -> VerlState:
        """The state after a validation with this mean reward."""
        state = self
        if self.best_validation is None or reward > self.best_validation:
            state = replace(state, best_validation=reward, best_step=self.step)
        if self.reference_validation is None or reward > self.reference_validation + standard_error:
            state = replace(state, reference_validation=reward, last_gain_step=self.step)
        return state

    def stalled(self, steps: int | None) -> bool:
        """Whether no validation has gained for so many steps; never when `steps` is None."""
        return steps is not None and self.step - self.last_gain_step >= steps


def write_state(folder: Path, state: VerlState) -> None:
    """Put the state into a checkpoint folder, which is made when it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / STATE_FILE, asdict(state))


def read_state(folder: Path) -> VerlState:
    """The state of a checkpoint folder.

    Raises:
        RunError: there is none, or it was written by another version.
    """
    file = folder / STATE_FILE
    try:
        return VerlState(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise RunError(
            f"{file} cannot be read ({error}): was this checkpoint written by another trainer or version?"
        ) from error


def keep_as_best(folder: Path) -> None:
    """Link a step's checkpoint as the best: it costs nothing until VERL removes the step's own folder."""
    place = folder.parent / BEST
    part = place.with_name(f"{BEST}.part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(folder, part, copy_function=_link)
    shutil.rmtree(place, ignore_errors=True)
    part.rename(place)


def _link(source: str, target: str) -> None:
    try:
        Path(target).hardlink_to(source)
    except OSError:  # another file system, or one without links
        shutil.copy2(source, target)
