"""SQLite, read-only by its own means: a `mode=ro` handle, an authorizer, limits and a progress handler.

The authorizer lets a statement read tables and call functions, nothing else: no write, ATTACH, PRAGMA, transaction
or extension. The progress handler ends a statement at its deadline; the limits keep any single instruction, which
nothing can interrupt, to milliseconds. The file is never created and never changed.
"""

from __future__ import annotations

import os
import re
import sqlite3
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from sql_graph.backends.base import Fault, Fetched
from sql_graph.backends.collect import collect
from sql_graph.backends.statement import prepare
from sql_graph.errors import DatabaseNotFoundError, DatabaseUnavailableError
from sql_graph.ports import ObservationStatus

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from sql_graph.limits import DatabaseLimits

MAX_VALUE_BYTES = 1_000_000
"""The longest string or blob; building one is a single instruction that no deadline can interrupt."""
MAX_SEARCHED_BYTES = 100_000
"""The same where `instr` or `replace` may search it, which takes time in the product of two lengths."""
INSTRUCTIONS_PER_CHECK = 200
INSTRUCTIONS_PER_CHECK_WHEN_SEARCHING = 10
_SEARCHES = re.compile(r"instr|replace", re.IGNORECASE)
_WAL_MODE = 2  # byte 18 of the header, https://www.sqlite.org/fileformat.html section 1.3.3

_READING = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE})
_PRAGMAS_OF_VIRTUAL_TABLES = frozenset({"data_version"})
_SCHEMA_PRAGMAS = frozenset({"table_info", "table_xinfo", "table_list", "foreign_key_list", "index_list", "index_info"})
_FORBIDDEN_FUNCTIONS = frozenset({"load_extension", "fts3_tokenizer", "readfile", "writefile", "edit", "zipfile"})
_OUR_FAULTS = ("NOTADB", "CANTOPEN", "IOERR", "CORRUPT", "BUSY", "LOCKED", "PROTOCOL", "READONLY_", "PERM", "FULL")


class _Guard:
    """What the callbacks of one connection share: the deadline, and the first thing that was denied."""

    __slots__ = ("denied", "ends_at", "late")

    def __init__(self) -> None:
        self.denied = ""
        self.late = False
        self.ends_at = 0.0

    def arm(self, deadline_s: float) -> None:
        self.denied, self.late, self.ends_at = "", False, time.monotonic() + deadline_s

    def is_late(self) -> bool:
        self.late = self.late or time.monotonic() > self.ends_at
        return self.late

    def authorize(self, action: int, first: str | None, second: str | None, *_: str | None) -> int:
        if action == sqlite3.SQLITE_FUNCTION and str(second).lower() in _FORBIDDEN_FUNCTIONS:
            self.denied = self.denied or f"the function {second}"
            return sqlite3.SQLITE_DENY
        if action in _READING:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_PRAGMA and _reads_only(str(first).lower(), second):
            return sqlite3.SQLITE_OK
        self.denied = self.denied or _NAMES.get(action, "this statement")
        return sqlite3.SQLITE_DENY


def _reads_only(pragma: str, argument: str | None) -> bool:
    return pragma in _SCHEMA_PRAGMAS or (pragma in _PRAGMAS_OF_VIRTUAL_TABLES and argument is None)


_NAMES = {
    getattr(sqlite3, f"SQLITE_{name.replace(' ', '_')}"): name
    for name in (
        "INSERT", "UPDATE", "DELETE", "PRAGMA", "ATTACH", "DETACH", "TRANSACTION", "SAVEPOINT", "REINDEX", "ANALYZE",
        "CREATE TABLE", "CREATE TEMP TABLE", "CREATE VIEW", "CREATE INDEX", "CREATE TRIGGER", "CREATE VTABLE",
        "DROP TABLE", "DROP VIEW", "DROP INDEX", "DROP TRIGGER", "ALTER TABLE",
    )
}  # fmt: skip


class _Connection:
    """A guarded handle with the guard that its callbacks read."""

    __slots__ = ("guard", "handle")

    def __init__(self, handle: sqlite3.Connection) -> None:
        self.handle = handle
        self.guard = _Guard()
        handle.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        handle.setlimit(sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1_000)
        handle.setlimit(sqlite3.SQLITE_LIMIT_WORKER_THREADS, 0)
        handle.set_authorizer(self.guard.authorize)


class SqliteBackend:
    """A SQLite file. Connections are kept for reuse while the file stays the same."""

    dialect = "SQLite"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle: list[_Connection] = []
        self._idle_identity: object = None
        self._lock = threading.Lock()

    def fetch(self, sql: str, *, limits: DatabaseLimits) -> Fetched | Fault:
        statement = prepare(sql)
        if isinstance(statement, Fault):
            return statement
        identity = self.identity()
        connection = self._checkout(identity, limits)
        outcome = _run(connection, statement, limits, self._path)
        with self._lock:
            if identity == self._idle_identity:
                self._idle.append(connection)
                return outcome
        connection.handle.close()
        return outcome

    def sampling_query(self, table: str, columns: list[str], *, rows: int) -> str:
        # SQLite types values, not columns: whatever is stored as text is worth showing, dates included.
        wanted = ", ".join(f"CASE typeof({name}) WHEN 'text' THEN substr({name}, 1, 64) END" for name in columns)
        return f"SELECT {wanted} FROM {table} LIMIT {rows}"

    def engine(self) -> Engine:
        return create_engine("sqlite://", creator=lambda: self._open(timeout_s=5.0), poolclass=NullPool)

    def identity(self) -> tuple[object, ...]:
        try:
            stat = self._path.stat()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise not_found(self._path) from error
        except OSError as error:
            raise DatabaseUnavailableError(
                f"cannot look at the database file {str(self._path)!r}: {error.strerror}; check its permissions"
            ) from error
        return (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, os.path.exists(f"{self._path}-wal"))

    def __str__(self) -> str:
        return f"the SQLite database {str(self._path)!r}"

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.handle.close()

    def _checkout(self, identity: object, limits: DatabaseLimits) -> _Connection:
        stale: list[_Connection] = []
        with self._lock:
            if identity != self._idle_identity:
                stale, self._idle, self._idle_identity = self._idle, [], identity
            found = self._idle.pop() if self._idle else None
        for connection in stale:
            connection.handle.close()
        return found or _Connection(self._open(timeout_s=limits.deadline_s))

    def _open(self, *, timeout_s: float) -> sqlite3.Connection:
        uri = f"{self._path.absolute().as_uri()}?mode=ro"
        if self._is_settled_wal():
            # A plain read-only handle would leave -wal and -shm files beside a database in WAL mode.
            uri += "&immutable=1"
        try:
            handle = sqlite3.connect(uri, uri=True, timeout=timeout_s, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise _unavailable(self._path, error) from error
        handle.text_factory = _lenient_text
        return handle

    def _is_settled_wal(self) -> bool:
        try:
            with self._path.open("rb") as file:
                header = file.read(20)
        except OSError as error:
            raise DatabaseUnavailableError(
                f"cannot read the database file {str(self._path)!r}: {error.strerror}; check that it is a file you may read"
            ) from error
        return len(header) == 20 and header[18] == _WAL_MODE and not os.path.exists(f"{self._path}-wal")


def _run(connection: _Connection, sql: str, limits: DatabaseLimits, path: Path) -> Fetched | Fault:
    handle, guard = connection.handle, connection.guard
    searching = _SEARCHES.search(sql) is not None
    handle.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_SEARCHED_BYTES if searching else MAX_VALUE_BYTES)
    guard.arm(limits.deadline_s)
    handle.set_progress_handler(
        guard.is_late, INSTRUCTIONS_PER_CHECK_WHEN_SEARCHING if searching else INSTRUCTIONS_PER_CHECK
    )
    cursor = handle.cursor()
    try:
        cursor.execute(sql)
        columns = tuple(item[0] for item in cursor.description or ())
        return collect(columns, cursor, limits)
    except (sqlite3.Error, sqlite3.Warning) as error:
        return _fault(error, guard, limits, path)
    except (MemoryError, OverflowError):
        return Fault(status=ObservationStatus.TOO_LARGE, message="a value of the result is too large")
    finally:
        cursor.close()


def _fault(error: Exception, guard: _Guard, limits: DatabaseLimits, path: Path) -> Fault:
    """What a failing statement says about itself.

    Raises:
        DatabaseUnavailableError: it says something about the file instead.
    """
    name = str(getattr(error, "sqlite_errorname", "")).removeprefix("SQLITE_")
    message = str(error)
    if guard.denied:
        return Fault(status=ObservationStatus.REFUSED, message=f"{guard.denied} is not allowed, only reading is")
    if guard.late or name == "INTERRUPT":
        return Fault(status=ObservationStatus.TIMEOUT, message=f"stopped after {limits.deadline_s:g} s")
    if "one statement at a time" in message:
        return Fault(status=ObservationStatus.REFUSED, message="only one statement can be run at a time")
    if name in ("TOOBIG", "NOMEM"):
        return Fault(status=ObservationStatus.TOO_LARGE, message="a value is too large")
    if name.startswith(_OUR_FAULTS):
        raise _unavailable(path, error) from error
    if name in ("READONLY", "AUTH"):
        return Fault(status=ObservationStatus.REFUSED, message=message)
    return Fault(status=ObservationStatus.ERROR, message=message)


def not_found(path: Path) -> DatabaseNotFoundError:
    """The error for a file that is not there."""
    return DatabaseNotFoundError(f"no database at {str(path)!r}; check the path: a database is never created here")


def _unavailable(path: Path, error: Exception) -> DatabaseUnavailableError:
    return DatabaseUnavailableError(
        f"cannot read {str(path)!r} as a SQLite database: {error}; check the file with `sqlite3 FILE 'PRAGMA integrity_check'`"
    )


def _lenient_text(raw: bytes) -> Any:
    """Text as UTF-8; bytes that are not become U+FFFD instead of failing the query."""
    return raw.decode("utf-8", "replace")
