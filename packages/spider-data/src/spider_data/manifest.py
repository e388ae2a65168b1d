"""`manifest.json`: what a data folder is, where it came from and how it was made.

Holds nothing that differs between two equal runs: no time, no absolute path of the target. Read by
`spider-data check` to know which rules apply.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Any

from spider_data.errors import ManifestInvalidError
from spider_data.storage import StrPath, new_file, reading

NAME = "manifest.json"


class Origin(StrEnum):
    """Where a data folder's tasks and databases come from."""

    SPIDER = "spider"
    """The official benchmark: checksums apply, and splits must not share a database."""
    OWN = "own"
    """A user's own databases and questions, made by `spider-data import`."""
    MINI = "mini"
    """The embedded benchmark, made by `spider-data mini`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The known facts of a data folder."""

    origin: Origin
    tool: str = field(default_factory=lambda: f"spider-data {version('spider-data')}")
    """Name and version of the program that made the folder."""
    rows: Mapping[str, int] = field(default_factory=dict[str, int])
    """Rows of each task file that was written."""
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Seeds, shares and choices that a second run needs to give the same files."""
    sources: Mapping[str, str] = field(default_factory=dict[str, str])
    """sha256 of each file that was read, by its name in the source."""
    notes: tuple[str, ...] = ()
    """What a user should know, one sentence each."""


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `manifest.json` into `folder`; equal manifests give equal bytes.

    Raises:
        DiskFullError, TargetUnwritableError: the file cannot be written there.
    """
    content = {
        "origin": str(manifest.origin),
        "tool": manifest.tool,
        "rows": dict(manifest.rows),
        "settings": dict(manifest.settings),
        "sources": dict(manifest.sources),
        "notes": list(manifest.notes),
    }
    with new_file(folder / NAME) as part:
        part.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_manifest(folder: StrPath) -> Manifest | None:
    """The manifest of a data folder; None when it has none.

    Raises:
        ManifestInvalidError: the file exists and is not a manifest.
    """
    path = Path(folder) / NAME
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Manifest(
            origin=Origin(content["origin"]),
            tool=content.get("tool", ""),
            rows=content.get("rows", {}),
            settings=content.get("settings", {}),
            sources=content.get("sources", {}),
            notes=tuple(content.get("notes", ())),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ManifestInvalidError(path=path, reason=repr(error)) from error


def sha256_of(path: Path) -> str:
    """The sha256 of a file's bytes, in hexadecimal.

    Raises:
        SourceUnreadableError: the operating system refuses.
    """
    with reading(path), path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
