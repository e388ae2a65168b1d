"""The findings of a check as data, for a table, for JSON and for an exit code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """Whether a finding needs action."""

    FAULT = "fault"
    """Training or evaluation on this folder would be wrong or would stop."""
    NOTE = "note"
    """A note; nothing is wrong."""


class Kind(StrEnum):
    """The kind of a finding."""

    MISSING = "missing"
    """An official database is missing."""
    ALTERED = "altered"
    """A file differs from the official one, or from the manifest."""
    DAMAGED = "damaged"
    """SQLite cannot read the file, or finds it corrupt."""
    EXTRA = "extra"
    """A database that the official benchmark does not have."""
    EMPTY = "empty"
    """A database without a row, on which every query with an empty result looks right."""
    LEFTOVER = "leftover"
    """A journal or backup beside a database; ignored by this package, read as a database by some tools."""
    BAD_TASKS = "bad tasks"
    """A Parquet file that is not a task file, or in which two tasks have the same id."""
    NO_TASKS = "no tasks"
    """A task file that training or evaluation needs is missing."""
    NO_DATABASE = "no database"
    """Tasks name a database that does not exist."""
    DUPLICATE = "duplicate"
    """The same question on the same database in two splits."""
    SHARED = "shared"
    """A database in two splits that must share none."""
    NO_QUESTION = "no question"
    """Tasks without a question text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing found, about one subject."""

    severity: Severity
    kind: Kind
    subject: str
    """A file relative to the data folder, or a `db_id`."""
    detail: str
    tasks: int = 0
    """Tasks that this concerns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """All that was looked at and all that was found."""

    root: str
    official: bool
    """Whether the official checksums were applied."""
    databases: int
    """Databases with a main file."""
    variants: int
    """Further files of their test suites."""
    verified: int
    """Files whose bytes are the official ones."""
    tasks: Mapping[str, int]
    """Rows of each readable task file."""
    findings: tuple[Finding, ...]

    @property
    def faults(self) -> tuple[Finding, ...]:
        """The findings that need action."""
        return tuple(finding for finding in self.findings if finding.severity is Severity.FAULT)

    @property
    def ok(self) -> bool:
        """Whether nothing needs action."""
        return not self.faults

    def to_dict(self) -> dict[str, Any]:
        """The report for `json.dumps`."""
        return {"ok": self.ok, **asdict(self), "tasks": dict(self.tasks)}


def fault(kind: Kind, subject: str, detail: str, tasks: int = 0) -> Finding:
    """A finding that needs action."""
    return Finding(severity=Severity.FAULT, kind=kind, subject=subject, detail=detail, tasks=tasks)


def note(kind: Kind, subject: str, detail: str, tasks: int = 0) -> Finding:
    """A finding that needs none."""
    return Finding(severity=Severity.NOTE, kind=kind, subject=subject, detail=detail, tasks=tasks)
