"""Every error that this package raises on purpose, under one base class.

An error carries its facts as typed fields, and `str()` builds the sentence from them: the thing, what was expected,
the next step. The fields are for programs; they survive pickling.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

_SHOWN = 40
"""Faults of a question file that the message names; the field has them all."""


@dataclass(eq=False, kw_only=True)
class SpiderDataError(Exception):
    """Base of every error that `spider_data` raises on purpose."""

    def __reduce__(self) -> tuple[Callable[[], SpiderDataError], tuple[()]]:
        return partial(type(self), **{item.name: getattr(self, item.name) for item in fields(self)}), ()


@dataclass(eq=False, kw_only=True)
class SourceNotFoundError(SpiderDataError):
    """A folder or file to read does not exist, or is of another kind."""

    path: Path
    wanted: str
    """What was looked for: `task file`, `data folder`."""
    found: str = ""
    """What exists there instead: `a folder`, `a pipe or a device`; empty when nothing does."""
    inside: bool = False
    """`path` is the folder or zip that was searched, not the thing itself."""
    advice: str

    def __str__(self) -> str:
        if self.found:
            return f"{str(self.path)!r} is {self.found}, not a {self.wanted}; {self.advice}"
        return f"no {self.wanted} {'in ' if self.inside else ''}{str(self.path)!r}; {self.advice}"


@dataclass(eq=False, kw_only=True)
class SourceUnreadableError(SpiderDataError):
    """A file is there, but the operating system refuses to read it."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"cannot read {str(self.path)!r} ({self.reason}); check the file and its permissions"


@dataclass(eq=False, kw_only=True)
class ArchiveDamagedError(SpiderDataError):
    """A zip is truncated, is no zip, holds bytes that fail its own checksum, or is not the file that was expected."""

    path: Path
    reason: str
    """What is wrong with it, as a predicate: `is damaged or truncated`."""
    advice: str = "delete it and download it again"

    def __str__(self) -> str:
        return f"{str(self.path)!r} {self.reason}; {self.advice}"


@dataclass(eq=False, kw_only=True)
class UnsafeMemberError(SpiderDataError):
    """A zip member would be written outside the target, or is a link."""

    path: Path
    member: str

    def __str__(self) -> str:
        return (
            f"{str(self.path)!r}: member {self.member!r} would be written outside the target or is a link; "
            f"nothing was extracted: get the zip from a source you trust"
        )


@dataclass(eq=False, kw_only=True)
class RecordInvalidError(SpiderDataError):
    """A record of a source file lacks a key or holds the wrong kind of value."""

    path: Path
    row: int
    """Position of the record, counted from 0."""
    key: str
    """The key that is wrong; empty when the record or the file as a whole is."""
    reason: str

    def __str__(self) -> str:
        where = f"{str(self.path)!r}, record {self.row} (counted from 0)"
        return f"{where}: {self.reason}; download the file again or correct that record"


@dataclass(eq=False, kw_only=True)
class ManifestInvalidError(SpiderDataError):
    """A `manifest.json` was not written by this package, or was changed by hand."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{str(self.path)!r} is not a manifest of this tool ({self.reason}); remove it or make the folder again"


@dataclass(eq=False, kw_only=True)
class TaskInvalidError(SpiderDataError):
    """A task has a value outside its closed set, or lacks one that it needs."""

    task_id: str
    field: str
    reason: str
    """What is wrong and what to do, after the task's name."""

    def __str__(self) -> str:
        return f"task {self.task_id!r}: {self.reason}" if self.task_id else self.reason


@dataclass(eq=False, kw_only=True)
class SchemaMismatchError(SpiderDataError):
    """A Parquet file does not have the columns of a task file, or is no Parquet file."""

    path: Path
    column: str
    """The column that is wrong; empty when the file as a whole is."""
    found: str
    """The type or value that is there; empty when nothing is."""
    row: int | None = None
    """The row that is wrong, counted from 0; None when the column or the file is."""
    reason: str
    """What is wrong and what to do, after the place."""

    def __str__(self) -> str:
        row = "" if self.row is None else f", row {self.row}"
        return f"{str(self.path)!r}{row}: {self.reason}"


@dataclass(eq=False, kw_only=True)
class DatabaseNotFoundError(SpiderDataError):
    """No SQLite file for a `db_id` in any place where it may be."""

    db_id: str
    root: Path
    tried: tuple[Path, ...]
    nearest: tuple[str, ...]

    def __str__(self) -> str:
        hint = f"; did you mean {' or '.join(map(repr, self.nearest))}?" if self.nearest else ";"
        places = " nor ".join(repr(str(path)) for path in self.tried)
        return (
            f"no database {self.db_id!r}: neither {places} is a file{hint} "
            f"see what is there with `spider-data check {shlex.quote(str(self.root))}`"
        )


@dataclass(eq=False, kw_only=True)
class DatabaseUnreadableError(SpiderDataError):
    """A file is there under the right name, but SQLite cannot read it."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{str(self.path)!r} cannot be read as a SQLite database ({self.reason}); replace the file"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is wrong at one place of a question file."""

    number: int
    """Line or row of the file, counted from 1; 0 when the whole file is meant."""
    text: str
    unit: str = "line"
    """What is counted: `line` of a text file, `row` of a spreadsheet or a Parquet file."""

    def __str__(self) -> str:
        return f"{self.unit} {self.number}: {self.text}" if self.number else self.text


@dataclass(eq=False, kw_only=True)
class QuestionsInvalidError(SpiderDataError):
    """A question file has broken lines or failing gold queries; all of them are named."""

    path: Path
    problems: tuple[Problem, ...]

    def __str__(self) -> str:
        listed = "\n".join(f"  {problem}" for problem in self.problems[:_SHOWN])
        more = f"\n  … and {len(self.problems) - _SHOWN} more" if len(self.problems) > _SHOWN else ""
        count = f"{len(self.problems)} fault{'s' * (len(self.problems) != 1)}"
        return f"{str(self.path)!r} has {count}; nothing was written. Mend and import again:\n{listed}{more}"


@dataclass(eq=False, kw_only=True)
class TargetOccupiedError(SpiderDataError):
    """The target holds something that this command did not write."""

    path: Path
    reason: str
    """What is there and what to do, after the path."""

    def __str__(self) -> str:
        return f"{str(self.path)!r} {self.reason}"


@dataclass(eq=False, kw_only=True)
class TargetUnwritableError(SpiderDataError):
    """The target cannot be written: read-only, a file in the way, or no permission."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"cannot write {str(self.path)!r} ({self.reason}); choose a target that you may write to"


@dataclass(eq=False, kw_only=True)
class DiskFullError(TargetUnwritableError):
    """The disk is full, or would be before the work is done."""

    reason: str = "no space left"
    needed_bytes: int | None = None
    """Bytes that the work needs; None when the disk filled up during the work."""
    free_bytes: int | None = None

    def __str__(self) -> str:
        if self.needed_bytes is None or self.free_bytes is None:
            return (
                f"the disk is full while writing {str(self.path)!r}; nothing was left under that name: "
                f"free some space or choose another target"
            )
        return (
            f"not enough room in {str(self.path)!r}: {self.needed_bytes / 1e6:,.0f} MB are needed, "
            f"{self.free_bytes / 1e6:,.0f} MB are free; free some space or choose another target"
        )


@dataclass(eq=False, kw_only=True)
class DownloadError(SpiderDataError):
    """A bundle could not be downloaded."""

    url: str
    reason: str
    advice: str = ""
    """How to place the file by hand, where that is known."""

    def __str__(self) -> str:
        return f"{self.url} cannot be fetched: {self.reason}{'.' if self.advice else ''}{self.advice}"


@dataclass(eq=False, kw_only=True)
class MissingExtraError(SpiderDataError):
    """An optional dependency is not installed."""

    extra: str
    needs: str
    """The package that is missing."""
    option: str
    """The parameter that asked for it."""

    def __str__(self) -> str:
        return f"{self.needs} is not installed; install 'spider-data[{self.extra}]' or leave {self.option} out"


@dataclass(eq=False, kw_only=True)
class OptionInvalidError(SpiderDataError):
    """An option has a value that cannot work, such as a share of the rows above 1."""

    option: str
    """The parameter's name in Python; the command line shows its own name for it."""
    reason: str
    """What is wrong and what would work."""

    def __str__(self) -> str:
        return f"{self.option}: {self.reason}"


@dataclass(eq=False, kw_only=True)
class GoldFailsError(SpiderDataError):
    """A gold query runs on the main file but on no variant that could be made: a fault of the generator."""

    path: Path
    query: str

    def __str__(self) -> str:
        return (
            f"no variant of {self.path.name!r} could be made on which the gold query {self.query!r} runs, as it does "
            f"on the main file; try another seed, and report the schema"
        )


@dataclass(eq=False, kw_only=True)
class SchemaFailsError(SpiderDataError):
    """A statement of the source's schema does not run in an empty database on this SQLite version."""

    path: Path
    statement: str
    reason: str

    def __str__(self) -> str:
        return (
            f"{str(self.path)!r}: its own statement {self.statement!r} fails in an empty database ({self.reason}); "
            f"correct the schema, or leave this database out with --only"
        )


@dataclass(eq=False, kw_only=True)
class GoldsInvalidError(SpiderDataError):
    """A file of gold queries has a line without a database id, or is no text."""

    path: Path
    line: int
    """Counted from 1; 0 when the file as a whole is meant."""
    reason: str

    def __str__(self) -> str:
        where = f"{str(self.path)!r}, line {self.line}" if self.line else repr(str(self.path))
        return f"{where}: {self.reason}; use a file like Spider's dev_gold.sql, or Parquet"
