"""What this package takes as the place of a file: text, or anything that stands for a path."""

from __future__ import annotations

import os
from pathlib import Path

PathLike = str | os.PathLike[str]
"""What every public function takes where it takes a file or a folder."""


def as_path(place: PathLike) -> Path:
    """The same place as a `Path`."""
    return place if isinstance(place, Path) else Path(place)


def as_file(place: PathLike) -> str:
    """The same place as the text that the system takes."""
    return os.fspath(place) or "."
