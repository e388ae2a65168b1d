"""Checkpoints: ordinary Hugging Face folders, plus what is needed to continue as if nothing had happened.

    <folder>/last/   model, tokenizer, state.json, optimiser.pt
    <folder>/best/   model, tokenizer, state.json

A checkpoint is written beside its place and moved into it, so whatever stands there is complete. The one before stays
as `last.previous`: a process that is killed between the moves leaves it to be found, and when the disk has damaged
`last` a run is resumed from there.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import cast

import torch
from safetensors import SafetensorError, safe_open

from lit_sql_trainer.errors import RunError
from lit_sql_trainer.local.policy import Policy

LAST = "last"
BEST = "best"
_STATE = "state.json"
_OPTIMISER = "optimiser.pt"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingState:
    """Where a run stands after `step` updates. With the weights and the optimiser it is all that a run remembers:
    every random number is derived from the seed and the step.
    """

    step: int = 0
    tasks_consumed: int = 0
    """Draws from the task order so far; see `TaskOrder`."""
    seed: int = 0
    best_validation: float | None = None
    best_step: int | None = None
    last_validation: float | None = None
    validated_step: int | None = None
    """The step after which `last_validation` was measured."""


def save_checkpoint(
    folder: Path, name: str, *, policy: Policy, state: TrainingState, optimiser: dict[str, object] | None = None
) -> Path:
    """Write checkpoint `name` under `folder`, replacing the one of that name in one move; its path.

    Of `last`, the one before stays as `last.previous`.

    Raises:
        RunError: the disk refuses it; the present checkpoint is untouched.
    """
    place, part, previous = folder / name, folder / f".{name}.{os.getpid()}", folder / f"{name}.previous"
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        policy.model.save_pretrained(part)
        policy.tokenizer.save_pretrained(part)
        if optimiser is not None:
            torch.save(optimiser, part / _OPTIMISER)
        (part / _STATE).write_text(json.dumps(asdict(state), indent=2) + "\n", encoding="utf-8")
        replaced = place.exists()
        if replaced:
            shutil.rmtree(previous, ignore_errors=True)
            place.rename(previous)
        part.rename(place)
    except (OSError, RuntimeError, SafetensorError) as error:  # each library has its own word for a full disk
        shutil.rmtree(part, ignore_errors=True)
        raise RunError(
            f"cannot write checkpoint {place}: {str(error).strip().partition(chr(10))[0]}; free some space and resume"
        ) from error
    if name != LAST or not replaced:
        shutil.rmtree(previous, ignore_errors=True)
    return place


def sweep(folder: Path) -> None:
    """Remove the beginnings of checkpoints that a killed process left."""
    for part in folder.glob(".*.*"):
        if part.is_dir() and re.fullmatch(rf"\.(?:{LAST}|{BEST})\.\d+", part.name):
            shutil.rmtree(part, ignore_errors=True)


def sound_checkpoint(path: Path, *, say: Callable[[str], None]) -> Path:
    """The checkpoint at `path`, or the one before it when a part of it is damaged; then `say` hears so.

    A damaged one is moved aside, to `<name>.damaged`.

    Raises:
        RunError: there is none, or none that can be resumed.
    """
    trouble = damage(find_checkpoint(path))
    if trouble is None:
        return find_checkpoint(path)
    previous = path.with_name(f"{path.name}.previous")
    if not path.is_dir() or damage(previous) is not None:
        raise RunError(f"{trouble}, and there is no sound checkpoint before it: start the run again")
    aside = path.with_name(f"{path.name}.damaged")
    shutil.rmtree(aside, ignore_errors=True)
    path.rename(aside)
    say(f"{trouble}; going on from the checkpoint before it, of step {read_state(previous).step}")
    return previous


def damage(checkpoint: Path) -> str | None:
    """What makes a checkpoint useless for resuming; None when every part of it can be read."""
    try:
        read_state(checkpoint)
        read_optimiser(checkpoint)
        for file in (checkpoint / "config.json", checkpoint / "tokenizer.json"):
            json.loads(file.read_text(encoding="utf-8"))
        weights = sorted(checkpoint.glob("*.safetensors"))
        for file in weights:
            with safe_open(file, framework="pt"):
                pass  # opening compares the header with the size
    except RunError as error:
        return str(error)
    except (OSError, ValueError, SafetensorError) as error:
        return f"checkpoint {checkpoint} is damaged ({error})"
    return None if weights else f"checkpoint {checkpoint} is damaged (it has no weights)"


def find_checkpoint(path: Path) -> Path:
    """The checkpoint at `path`, or the one that an interrupted write left in its stead.

    Raises:
        RunError: there is none.
    """
    for candidate in (path, path.with_name(f"{path.name}.previous")):
        if (candidate / _STATE).is_file():
            return candidate
    raise RunError(f"no checkpoint at {path}: expected a folder with {_STATE}, as training leaves in checkpoints/last")


def read_state(path: Path) -> TrainingState:
    """The state of a checkpoint.

    Raises:
        RunError: there is none, or it was written by another version.
    """
    file = find_checkpoint(path) / _STATE
    try:
        state = TrainingState(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise RunError(f"{file} cannot be read ({error}): was it written by another version?") from error
    if state.validated_step is None and state.last_validation is not None:  # a checkpoint from before the field
        return replace(state, validated_step=state.step)
    return state


def read_optimiser(path: Path) -> dict[str, object]:
    """The optimiser's state of a checkpoint that can be resumed.

    Raises:
        RunError: it is damaged, or there is none, as in the best one, which is for use and not for resuming.
    """
    file = find_checkpoint(path) / _OPTIMISER
    if not file.is_file():
        raise RunError(f"{file.parent} cannot be resumed, it has no {_OPTIMISER}: resume from checkpoints/{LAST}")
    try:
        state: object = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # pickle, zip and torch each have their own errors for rubbish
        raise RunError(f"{file} is damaged ({type(error).__name__})") from error
    if not isinstance(state, dict) or not state.keys() >= {"state", "param_groups"}:
        raise RunError(f"{file} is damaged (it holds no state of an optimiser)")
    return cast("dict[str, object]", state)
