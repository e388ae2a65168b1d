"""Open a SQLite file read-only, without leaving a file beside it.

The package opens every database file through this module. Connections are read-only and stop at a deadline. They read
the user's files and run gold queries; they never run predictions. `trusted_schema` stays on, because SQLite 3.40
refuses whole files that use `json_extract` in a generated column or an index when it is off.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
import time
from collections.abc import Generator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

from spider_data.errors import DatabaseUnreadableError
from spider_data.storage import reading, require_file, writing

_STEPS = 10_000
"""SQLite counts steps of its virtual machine; the clock is read after this many steps."""

_OUR_FAULTS = (
    *("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_FULL"),
    *("SQLITE_BUSY", "SQLITE_LOCKED"),
)
"""The beginnings of SQLite's error names for faults of a file, a lock or a disk, which a query does not cause."""

_HOT_JOURNAL = bytes.fromhex("d9d505f920a163d7")
"""The first bytes of a rollback journal while its transaction is not finished."""

_DECLARES = "sqlite_master"
"""A virtual table declares its columns through an update of this table, which SQLite never executes."""

_VIRTUAL_READS = ("data_version", "page_size")
"""The pragmas that the full-text modules read before they search."""


@contextmanager
def open_readonly(path: Path, *, deadline_s: float = 60.0) -> Generator[sqlite3.Connection]:
    """A read-only connection; any statement still running `deadline_s` seconds after opening is interrupted.

    A log beside the file (`-wal`, `-journal`) belongs to its content. Reading it in place would leave files behind or
    need the right to write, so a file with a log that no process has open is read from a temporary copy.

    Raises:
        SourceNotFoundError: there is no such file, or it is a folder, a pipe or a device.
        DatabaseUnreadableError: the file is not a database, or cannot be opened.
        SourceUnreadableError: the operating system refuses to read it.
    """
    require_file(path, wanted="database file", advice="name a SQLite file")
    with _place_of(path) as (uri, is_copy):
        try:
            connection = sqlite3.connect(uri, uri=True)
        except sqlite3.Error as error:
            raise _unreadable(path, error) from error
        with closing(connection):
            ends = time.monotonic() + deadline_s
            try:
                if is_copy:
                    connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # merges the log
                connection.execute("PRAGMA query_only = ON")
                connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            except sqlite3.Error as error:
                raise _unreadable(path, error) from error
            connection.set_progress_handler(lambda: time.monotonic() > ends, _STEPS)
            connection.text_factory = decode
            try:
                yield connection
            except sqlite3.OperationalError as error:
                if is_interrupt(error) and time.monotonic() < ends:
                    raise KeyboardInterrupt from error  # SQLite reports Ctrl-C in the progress handler as this error
                raise


def has_log(path: Path) -> bool:
    """Whether a `-wal` or `-journal` beside a database file (or beside the file of a link) holds changes to it."""
    real = path.resolve()
    return _size(_beside(real, "-wal")) > 0 or _head(_beside(real, "-journal"), 8) == _HOT_JOURNAL


def tables_of(connection: sqlite3.Connection) -> list[str]:
    """Names of the tables in the order of creation: with virtual tables, without shadow tables and SQLite's own."""
    kinds = {name: kind for schema, name, kind, *_ in connection.execute("PRAGMA table_list") if schema == "main"}
    names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    own = [name for name in names if kinds.get(name) in ("table", "virtual")]
    return [str(name) for name in own if not name.lower().startswith("sqlite_")]


def is_empty(connection: sqlite3.Connection) -> bool:
    """Whether no table has a row (or there is no table)."""
    for name in tables_of(connection):
        with suppress(sqlite3.OperationalError):  # a virtual table whose module this SQLite does not have
            if connection.execute(f"SELECT 1 FROM {quoted(name)} LIMIT 1").fetchone():
                return False
    return True


def failure_of(path: Path, sql: str, *, deadline_s: float) -> tuple[str, int]:
    """Why a gold query cannot be used (empty when it can), and how many rows it gives.

    The query must be one statement that only reads, virtual tables too; it is run to its end or to the deadline.

    Raises:
        DatabaseUnreadableError: the file or the disk is at fault, not the query.
    """
    with open_readonly(path, deadline_s=deadline_s) as connection:
        _load_virtual_tables(connection)
        connection.set_authorizer(_only_reads)
        ends = time.monotonic() + deadline_s
        try:
            cursor = connection.execute(sql)
            if cursor.description is None:
                return "the statement gives no rows; expected a SELECT", 0
            return "", sum(1 for _ in cursor)
        except (sqlite3.Error, sqlite3.Warning, ValueError) as error:  # several statements: a Warning in Python 3.11
            if is_interrupt(error):
                if time.monotonic() < ends - 0.05:
                    raise
                return f"still running after {deadline_s:g} s", 0
            name = str(getattr(error, "sqlite_errorname", ""))
            if name == "SQLITE_AUTH":
                return "it does more than read; expected one SELECT", 0
            if name.startswith(_OUR_FAULTS):
                raise _unreadable(path, error) from error
            return str(error), 0


def damage(connection: sqlite3.Connection) -> str:
    """The first finding of SQLite's own quick check; empty when it finds nothing."""
    try:
        (first,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        if is_interrupt(error):
            raise
        return str(error)
    return "" if first == "ok" else str(first)


def quoted(name: str) -> str:
    """An identifier as SQL text."""
    return '"' + name.replace('"', '""') + '"'


def decode(raw: bytes) -> str:
    """Decode a text of SQLite; bytes that are not UTF-8 become the replacement character."""
    return raw.decode(errors="replace")


def is_interrupt(error: BaseException) -> bool:
    """Whether SQLite stopped because of a progress handler."""
    return getattr(error, "sqlite_errorname", "") == "SQLITE_INTERRUPT"


@contextmanager
def _place_of(path: Path) -> Generator[tuple[str, bool]]:
    """The URI to open, and whether it names a temporary copy."""
    real = path.resolve()  # SQLite looks for a log beside the target of a link
    uri = real.as_uri()
    if not has_log(real):
        # In WAL mode SQLite would create both log files again, except for a file that is opened as immutable.
        unchanging = _head(real, 20)[18:] == b"\x02\x02" and not _beside(real, "-wal").exists()
        yield f"{uri}?mode=ro{'&immutable=1' * unchanging}", False
    elif _beside(real, "-shm").exists():
        yield f"{uri}?mode=ro", False  # a writer has the file open and keeps both log files
    else:
        with ExitStack() as stack:
            with writing(Path("temporary folder")):
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="spider-data-"))
            copy = Path(folder) / "copy.sqlite"
            with writing(copy):
                shutil.copyfile(real, copy)
                for ending in ("-wal", "-journal"):
                    if _size(_beside(real, ending)):
                        shutil.copyfile(_beside(real, ending), _beside(copy, ending))
            yield f"{copy.as_uri()}?mode=rw", True


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _head(path: Path, count: int) -> bytes:
    if not path.is_file():
        return b""
    with reading(path), path.open("rb") as stream:
        return stream.read(count)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _load_virtual_tables(connection: sqlite3.Connection) -> None:
    """Open each virtual table once: the R-tree module then prepares its writes, which an authorizer would refuse."""
    rows = connection.execute("SELECT name FROM sqlite_master WHERE sql LIKE 'CREATE VIRTUAL TABLE%'").fetchall()
    for (name,) in rows:
        with suppress(sqlite3.DatabaseError):  # the gold query that reads the table reports the fault
            connection.execute(f"SELECT 1 FROM {quoted(name)} LIMIT 0")


def _only_reads(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    if action == sqlite3.SQLITE_FUNCTION:
        return sqlite3.SQLITE_DENY if second == "load_extension" else sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_UPDATE:
        return sqlite3.SQLITE_OK if first == _DECLARES else sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_PRAGMA:
        return sqlite3.SQLITE_OK if first in _VIRTUAL_READS and second is None else sqlite3.SQLITE_DENY
    reads = (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE)
    return sqlite3.SQLITE_OK if action in reads else sqlite3.SQLITE_DENY


def _unreadable(path: Path, error: Exception) -> DatabaseUnreadableError:
    return DatabaseUnreadableError(path=path, reason=str(error))
