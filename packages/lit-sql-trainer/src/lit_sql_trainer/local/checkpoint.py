"""Checkpoints: ordinary Hugging Face folders, plus what is needed to continue as if nothing had happened.

    <folder>/last/   model, tokenizer, state.json, optimiser.pt
    <folder>/best/   model, tokenizer, state.json

A checkpoint is written beside its place and moved into it, so whatever stands there is complete. The previous one is
removed last; a process that is killed between the moves leaves it as `<name>.previous`, where it is still found.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

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
    folder: Path, name: str, *, policy: Policy, state: TrainingState, optimiser: dict[str, Any] | None = None
) -> Path:
    """Write checkpoint `name` under `folder`, replacing the one of that name in one move; its path.

    Raises:
        RunError: the disk refuses it; the previous checkpoint is untouched.
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
        shutil.rmtree(previous, ignore_errors=True)
        if place.exists():
            place.rename(previous)
        part.rename(place)
        shutil.rmtree(previous, ignore_errors=True)
    except OSError as error:
        raise RunError(f"cannot write checkpoint {place}: {error}; free some space and resume") from error
    return place


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


def read_optimiser(path: Path) -> dict[str, Any]:
    """The optimiser's state of a checkpoint that can be resumed.

    Raises:
        RunError: the checkpoint has none, like the best one, which is for use and not for resuming.
    """
    file = find_checkpoint(path) / _OPTIMISER
    if not file.is_file():
        raise RunError(f"{file.parent} cannot be resumed, it has no {_OPTIMISER}: resume from checkpoints/{LAST}")
    state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    return state
