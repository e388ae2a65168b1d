"""SQLite files, opened with `mode=ro` and guarded: never created, never changed, nothing left beside them.

What SQLite says about a statement is an observation. What it says about this machine (a full or failing disk, too
little memory) or about the file raises.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from sql_graph.databases.base import Fault, Fetched
from sql_graph.databases.collect import collect
from sql_graph.databases.compiling import longest_value, may_grow_far, stored_texts, try_compiling
from sql_graph.databases.files import Copy, FileIdentity, file_identity
from sql_graph.databases.planning import MAX_WORK, planning_work
from sql_graph.databases.pool import Pool
from sql_graph.databases.schema import Schema, read_schema
from sql_graph.databases.sqlite_guard import Guard, GuardedConnection
from sql_graph.databases.sqlite_internal import internal_tables
from sql_graph.databases.statement import prepare
from sql_graph.errors import DatabaseUnavailableError
from sql_graph.ports import ObservationStatus

if TYPE_CHECKING:
    from sql_graph.databases.limits import DatabaseLimits

LARGE_FILE_BYTES = 256 * 1024 * 1024
"""From this size on, a single instruction (counting a whole table) can take long, so a timer interrupts as well."""
_OUR_FAULTS = (
    "NOTADB",
    "CANTOPEN",
    "IOERR",
    "CORRUPT",
    "BUSY",
    "LOCKED",
    "PROTOCOL",
    "READONLY_",
    "PERM",
    "FULL",
    "NOMEM",
)
"""Beginnings of SQLite's codes that blame the file or the machine, whatever the statement."""
_OF_MACHINE = ("IOERR", "FULL", "NOMEM")
_Identity = tuple[FileIdentity, FileIdentity | bool | None]
"""Of the file, and of the log beside it: None where there is none, True where a writer holds it."""


@dataclass(frozen=True, slots=True)
class _Session:
    """A connection, and the stored texts that can make a statement grow when it is compiled."""

    guarded: GuardedConnection
    stored: Mapping[str, str | None]


class SqliteBackend:
    """One SQLite file. Connections are kept for reuse while the file stays the same."""

    dialect = "SQLite"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pool: Pool[_Session] = Pool(lambda session: session.guarded.close())
        self._copies: dict[object, Copy] = {}
        self._lock = threading.Lock()

    def fetch(self, sql: str, *, limits: DatabaseLimits) -> Fetched | Fault:
        statement = prepare(sql)
        if isinstance(statement, Fault):
            return statement
        if planning_work(statement) > MAX_WORK:
            return Fault(status=ObservationStatus.REFUSED, message="the query joins or nests too many tables")
        try:
            return self._fetch(statement, limits)
        except MemoryError:  # try once more: other threads may have used the memory and freed it
            self._pool.clear()
        try:
            return self._fetch(statement, limits)
        except MemoryError as error:
            raise self._unavailable(error, name="NOMEM") from error

    def _fetch(self, statement: str, limits: DatabaseLimits) -> Fetched | Fault:
        identity = self.identity()
        session = self._pool.take(identity) or self._guarded(identity, limits)
        timer = threading.Timer(limits.deadline_s, session.guarded.handle.interrupt)
        large = identity[0][2] > LARGE_FILE_BYTES
        if large:
            timer.start()
        try:
            outcome = self._run(session, identity, statement, limits)
        except BaseException:
            session.guarded.close()
            raise
        finally:
            timer.cancel()
        if large:
            session.guarded.close()  # a timer that fired late must not interrupt another statement
        else:
            self._pool.give(session, identity)
        return outcome

    def sampling_query(self, table: str, columns: list[str], *, rows: int) -> str:
        # SQLite types values, not columns: whatever is stored as text is worth showing, dates included.
        wanted = ", ".join(f"CASE typeof({name}) WHEN 'text' THEN substr({name}, 1, 64) END" for name in columns)
        return f"SELECT {wanted} FROM {table} LIMIT {rows}"

    def read_schema(self) -> Schema:
        identity = self.identity()
        engine = create_engine("sqlite://", creator=lambda: self._open(identity, timeout_s=5.0), poolclass=NullPool)
        try:
            return read_schema(engine, hidden=self._hidden(identity))
        except DBAPIError as error:
            raise self._unavailable(error.orig or error) from None
        except sqlite3.Error as error:
            raise self._unavailable(error) from error

    def identity(self) -> _Identity:
        """The identities of the file and of the log beside it; True stands for a log that a writer holds."""
        log = self._log()
        if log is None:
            return file_identity(self._path), None
        return file_identity(self._path), True if self._has_writer() else file_identity(log)

    def close(self) -> None:
        self._pool.clear()
        with self._lock:
            copies, self._copies = self._copies, {}
        for copy in copies.values():
            copy.close()

    def __str__(self) -> str:
        return f"the SQLite database {str(self._path)!r}"

    def _hidden(self, identity: _Identity) -> frozenset[str]:
        handle = self._open(identity, timeout_s=5.0)
        try:
            schema = handle.execute("SELECT name, sql FROM sqlite_master WHERE type IN ('table', 'view')").fetchall()
            shadows: list[str] = []
            with contextlib.suppress(sqlite3.OperationalError):  # no such pragma before version 3.37
                shadows = [name for (name,) in handle.execute("SELECT name FROM pragma_table_list WHERE type='shadow'")]
            return internal_tables(schema, shadows)
        finally:
            handle.close()

    def _run(self, session: _Session, identity: _Identity, sql: str, limits: DatabaseLimits) -> Fetched | Fault:
        guarded = session.guarded
        if may_grow_far(sql, session.stored):
            fault = try_compiling(self._place(identity), sql, deadline_s=limits.deadline_s)
            if fault is not None:
                return fault
        cursor = guarded.handle.cursor()
        try:
            guarded.arm(sql, deadline_s=limits.deadline_s)
            most = guarded.handle.getlimit(sqlite3.SQLITE_LIMIT_LENGTH)
            guarded.handle.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, longest_value(guarded.handle, sql, most=most))
            cursor.execute(sql)
            columns = tuple(item[0] for item in cursor.description or ())
            return collect(columns, cursor, limits)
        except (sqlite3.Error, sqlite3.Warning) as error:
            return self._fault(error, guarded.guard, limits)
        except OverflowError:
            return Fault(status=ObservationStatus.TOO_LARGE, message="a value of the result is too large")
        finally:
            cursor.close()

    def _fault(self, error: Exception, guard: Guard, limits: DatabaseLimits) -> Fault:
        """The fault of a failed statement.

        Raises:
            DatabaseUnavailableError: the file or the machine is at fault, not the statement.
        """
        name = str(getattr(error, "sqlite_errorname", "")).removeprefix("SQLITE_")
        if guard.denied:
            return Fault(status=ObservationStatus.REFUSED, message=f"{guard.denied} is not allowed, only reading is")
        if guard.late or name == "INTERRUPT":
            return Fault(status=ObservationStatus.TIMEOUT, message=f"stopped after {limits.deadline_s:g} s")
        if guard.too_large or name == "TOOBIG":
            return Fault(status=ObservationStatus.TOO_LARGE, message="a value is too large")
        if "one statement at a time" in str(error):
            return Fault(status=ObservationStatus.REFUSED, message="only one statement can be run at a time")
        if name.startswith(_OUR_FAULTS):
            raise self._unavailable(error, name=name) from error
        status = ObservationStatus.REFUSED if name in ("READONLY", "AUTH") else ObservationStatus.ERROR
        return Fault(status=status, message=str(error))

    def _guarded(self, identity: _Identity, limits: DatabaseLimits) -> _Session:
        handle = self._open(identity, timeout_s=limits.deadline_s)
        try:
            stored = stored_texts(handle.execute("SELECT type, name, sql FROM sqlite_master"))
            return _Session(GuardedConnection(handle), stored)
        except sqlite3.Error as error:
            handle.close()
            raise self._unavailable(error) from error

    def _open(self, identity: _Identity, *, timeout_s: float) -> sqlite3.Connection:
        # A plain read-only handle would leave -wal and -shm files beside a database in WAL mode.
        place = self._place(identity)
        flags = "mode=ro&immutable=1" if identity[1] is None and self._is_settled_wal() else "mode=ro"
        try:
            handle = _connect(place, flags, timeout_s=timeout_s)
        except sqlite3.Error as error:
            raise self._unavailable(error) from error
        handle.text_factory = _lenient_text
        return handle

    def _place(self, identity: _Identity) -> Path:
        """The file to open: a private copy where a log lies beside the original that no writer holds."""
        log = self._log()
        if log is None or not isinstance(identity[1], tuple):
            return self._path
        with self._lock:
            if identity not in self._copies:
                for old in self._copies.values():
                    old.close()
                self._copies = {identity: Copy(self._path, log)}
            return self._copies[identity].path

    def _log(self) -> Path | None:
        """The write-ahead log beside the file, unless it is empty."""
        log = Path(f"{self._path}-wal")
        try:
            return log if log.stat().st_size else None
        except (OSError, ValueError):
            return None

    def _has_writer(self) -> bool:
        """Whether a process holds the log: its shared memory is then a file beside the database."""
        return Path(f"{self._path}-shm").exists()

    def _is_settled_wal(self) -> bool:
        """Whether the database, beside which no log lies, is in WAL mode.

        The header is not read from the file itself: closing that would drop the locks that this process may hold on
        it through other handles (https://www.sqlite.org/howtocorrupt.html, section 2.2). Without
        locks, SQLite cannot open a database in WAL mode.
        """
        try:
            probe = _connect(self._path, "mode=ro&nolock=1", timeout_s=0.0)
        except sqlite3.Error:
            return False  # the caller opens it as usual, and gets the reason
        try:
            probe.execute("PRAGMA journal_mode")
        except sqlite3.Error as error:
            return error.sqlite_errorcode == sqlite3.SQLITE_CANTOPEN
        finally:
            probe.close()
        return False

    def _unavailable(self, error: BaseException, *, name: str = "") -> DatabaseUnavailableError:
        step = "check the file with `sqlite3 FILE 'PRAGMA integrity_check'`, and that no writer holds it"
        if name.startswith(_OF_MACHINE):
            step = "check this machine's memory and disks, the folder for temporary files (SQLITE_TMPDIR) among them"
        return DatabaseUnavailableError(str(error) or "out of memory", action="read", database=str(self), advice=step)


def _connect(path: Path, flags: str, *, timeout_s: float) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?{flags}"
    return sqlite3.connect(uri, uri=True, timeout=timeout_s, isolation_level=None, check_same_thread=False)


def _lenient_text(raw: bytes) -> Any:
    """Text as UTF-8; bytes that are not become U+FFFD instead of failing the query."""
    return raw.decode("utf-8", "replace")
