"""Everything this package can refuse, under one base class.

A message names the thing, says what was expected and ends with a next step. The fields beside it
are for programs; they survive pickling, because an exception's keyword state does.
"""

from __future__ import annotations

from pathlib import Path


class SpiderDataError(Exception):
    """Base of every error that `spider_data` raises on purpose."""

    def __init__(self, message: str, **fields: object) -> None:
        super().__init__(message)
        self.__dict__.update(fields)


class SourceNotFoundError(SpiderDataError):
    """A folder or file that was to be read is not there."""

    path: Path


class SourceUnreadableError(SpiderDataError):
    """A file is there, but the operating system refuses to read it."""

    path: Path


class ArchiveDamagedError(SpiderDataError):
    """A zip is truncated, is no zip, or holds bytes that fail its own checksum."""

    path: Path


class UnsafeMemberError(SpiderDataError):
    """A zip member would land outside the target, or is a link."""

    path: Path
    member: str


class RecordInvalidError(SpiderDataError):
    """A record of a source file lacks a key or holds the wrong kind of value."""

    path: Path
    row: int
    key: str


class TaskInvalidError(SpiderDataError):
    """A task has a value outside its closed set, or lacks one it cannot do without."""

    field: str


class SchemaMismatchError(SpiderDataError):
    """A Parquet file does not have the columns of a task file, or is no Parquet file."""

    path: Path
    column: str
    found: str


class DatabaseNotFoundError(SpiderDataError):
    """No SQLite file for a `db_id` in any place it may live."""

    db_id: str
    tried: tuple[Path, ...]
    nearest: tuple[str, ...]


class DatabaseUnreadableError(SpiderDataError):
    """A file is there under the right name, but SQLite cannot read it."""

    path: Path


class QuestionsInvalidError(SpiderDataError):
    """A question file has broken lines or failing gold queries; all of them are named."""

    path: Path
    problems: tuple[str, ...]


class TargetOccupiedError(SpiderDataError):
    """The target holds something that this command did not write."""

    path: Path


class TargetUnwritableError(SpiderDataError):
    """The target cannot be written: read-only, a file in the way, or no permission."""

    path: Path


class DiskFullError(TargetUnwritableError):
    """The disk is full, or would be before the work is done."""


class DownloadError(SpiderDataError):
    """A bundle could not be fetched; says how to place the file by hand."""

    url: str


class MissingExtraError(SpiderDataError):
    """An optional dependency is not installed."""

    extra: str


class OptionInvalidError(SpiderDataError):
    """An option has a value that cannot work, such as a share of the rows above 1."""

    option: str
