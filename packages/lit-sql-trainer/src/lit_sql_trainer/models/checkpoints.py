"""Finds the checkpoints of a run in its folder.

The local algorithm keeps `checkpoints/best` and `checkpoints/last`. VERL keeps `checkpoints/global_step_N`, and writes
the number of the last complete one into `latest_checkpointed_iteration.txt` after everything else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from lit_sql_trainer.errors import RunError

LATEST = "latest_checkpointed_iteration.txt"
PREFIX = "global_step_"


class Checkpoint(StrEnum):
    """Which weights of a run."""

    BEST = "best"
    """The weights with the best validation."""
    LAST = "last"
    """The weights of the last saved step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerlCheckpoint:
    """One complete checkpoint of VERL."""

    path: Path
    step: int


def last_checkpoint(folder: Path) -> VerlCheckpoint | None:
    """The last complete checkpoint in `folder`, or None when there is none yet."""
    try:
        step = int((folder / LATEST).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    path = folder / f"{PREFIX}{step}"
    return VerlCheckpoint(path=path, step=step) if path.is_dir() else None


def run_of(resume: Path) -> tuple[Path, VerlCheckpoint | None]:
    """What `--resume` names: a run folder, or one checkpoint inside a run folder.

    Returns:
        The run folder as the user gave it, and the checkpoint when the user names one.

    Raises:
        RunError: the checkpoint does not exist, or lies in no run folder.
    """
    found = re.fullmatch(rf"{PREFIX}(\d+)", resume.name)
    if not found:
        return resume, None
    if not resume.is_dir():
        there = sorted(path.name for path in resume.parent.glob(f"{PREFIX}*"))
        raise RunError(f"no checkpoint {str(resume)!r}; there: {', '.join(there) or 'none'}")
    run = next((parent for parent in resume.resolve().parents if (parent / "config.json").is_file()), None)
    if run is None:
        raise RunError(f"checkpoint {str(resume)!r} lies in no run folder: its settings are unknown")
    return run, VerlCheckpoint(path=resume.resolve(), step=int(found[1]))
