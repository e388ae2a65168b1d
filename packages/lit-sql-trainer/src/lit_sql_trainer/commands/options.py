"""What several commands share: the type of their paths."""

from __future__ import annotations

from pathlib import Path

import click

PATH = click.Path(path_type=Path)
"""Of a file or a folder; whether it must exist, the library says."""
