"""SQLite files, opened with `mode=ro` and guarded: never created, never changed, nothing left beside them."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from sql_graph.databases.base import Fault, Fetched
from sql_graph.databases.collect import collect
from sql_graph.databases.files import file_identity
from sql_graph.databases.planning import MAX_WORK, planning_work
from sql_graph.databases.pool import Pool
from sql_graph.databases.schema import Schema, read_schema
from sql_graph.databases.sqlite_guard import Guard, GuardedConnection
from sql_graph.databases.statement import prepare
from sql_graph.errors import DatabaseUnavailableError
from sql_graph.ports import ObservationStatus

if TYPE_CHECKING:
    from sql_graph.databases.limits import DatabaseLimits

LARGE_FILE_BYTES = 256 * 1024 * 1024
"""From this size on, a single instruction (counting a whole table) can take long, so a timer interrupts as well."""
_OUR_FAULTS = ("NOTADB", "CANTOPEN", "IOERR", "CORRUPT", "BUSY", "LOCKED", "PROTOCOL", "READONLY_", "PERM", "FULL")


class SqliteBackend:
    """One SQLite file. Connections are kept for reuse while the file stays the same."""

    dialect = "SQLite"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pool: Pool[GuardedConnection] = Pool(GuardedConnection.close)

    def fetch(self, sql: str, *, limits: DatabaseLimits) -> Fetched | Fault:
        statement = prepare(sql)
        if isinstance(statement, Fault):
            return statement
        if planning_work(statement) > MAX_WORK:
            return Fault(status=ObservationStatus.REFUSED, message="the query joins or nests too many tables")
        identity = self.identity()
        connection = self._pool.take(identity) or self._guarded(limits)
        timer = threading.Timer(limits.deadline_s, connection.handle.interrupt)
        large = identity[2] > LARGE_FILE_BYTES
        if large:
            timer.start()
        try:
            outcome = self._run(connection, statement, limits)
        except BaseException:
            connection.close()
            raise
        finally:
            timer.cancel()
        if large:
            connection.close()  # a timer that fired late must not interrupt another statement
        else:
            self._pool.give(connection, identity)
        return outcome

    def sampling_query(self, table: str, columns: list[str], *, rows: int) -> str:
        # SQLite types values, not columns: whatever is stored as text is worth showing, dates included.
        wanted = ", ".join(f"CASE typeof({name}) WHEN 'text' THEN substr({name}, 1, 64) END" for name in columns)
        return f"SELECT {wanted} FROM {table} LIMIT {rows}"

    def read_schema(self) -> Schema:
        self.identity()
        engine = create_engine("sqlite://", creator=lambda: self._open(timeout_s=5.0), poolclass=NullPool)
        try:
            return read_schema(engine)
        except DBAPIError as error:
            raise self._unavailable(error.orig or error) from None

    def identity(self) -> tuple[int, int, int, int, bool]:
        """Device, inode, size, time of change, and whether a writer's log lies beside the file."""
        return (*file_identity(self._path), Path(f"{self._path}-wal").exists())

    def close(self) -> None:
        self._pool.clear()

    def __str__(self) -> str:
        return f"the SQLite database {str(self._path)!r}"

    def _run(self, connection: GuardedConnection, sql: str, limits: DatabaseLimits) -> Fetched | Fault:
        cursor = connection.handle.cursor()
        try:
            connection.arm(sql, deadline_s=limits.deadline_s)
            cursor.execute(sql)
            columns = tuple(item[0] for item in cursor.description or ())
            return collect(columns, cursor, limits)
        except (sqlite3.Error, sqlite3.Warning) as error:
            return self._fault(error, connection.guard, limits)
        except (MemoryError, OverflowError):
            return Fault(status=ObservationStatus.TOO_LARGE, message="a value of the result is too large")
        finally:
            cursor.close()

    def _fault(self, error: Exception, guard: Guard, limits: DatabaseLimits) -> Fault:
        """What a failing statement says about itself.

        Raises:
            DatabaseUnavailableError: it says something about the file instead.
        """
        name = str(getattr(error, "sqlite_errorname", "")).removeprefix("SQLITE_")
        if guard.denied:
            return Fault(status=ObservationStatus.REFUSED, message=f"{guard.denied} is not allowed, only reading is")
        if guard.late or name == "INTERRUPT":
            return Fault(status=ObservationStatus.TIMEOUT, message=f"stopped after {limits.deadline_s:g} s")
        if guard.too_large or name in ("TOOBIG", "NOMEM"):
            return Fault(status=ObservationStatus.TOO_LARGE, message="a value is too large")
        if "one statement at a time" in str(error):
            return Fault(status=ObservationStatus.REFUSED, message="only one statement can be run at a time")
        if name.startswith(_OUR_FAULTS):
            raise self._unavailable(error) from error
        status = ObservationStatus.REFUSED if name in ("READONLY", "AUTH") else ObservationStatus.ERROR
        return Fault(status=status, message=str(error))

    def _guarded(self, limits: DatabaseLimits) -> GuardedConnection:
        handle = self._open(timeout_s=limits.deadline_s)
        try:
            return GuardedConnection(handle)
        except sqlite3.Error as error:
            handle.close()
            raise self._unavailable(error) from error

    def _open(self, *, timeout_s: float) -> sqlite3.Connection:
        # A plain read-only handle would leave -wal and -shm files beside a database in WAL mode.
        flags = "mode=ro&immutable=1" if self._is_settled_wal() else "mode=ro"
        try:
            handle = self._connect(flags, timeout_s=timeout_s)
        except sqlite3.Error as error:
            raise self._unavailable(error) from error
        handle.text_factory = _lenient_text
        return handle

    def _is_settled_wal(self) -> bool:
        """Whether the database is in WAL mode and no writer's log lies beside it.

        The header is not read from the file itself: closing that would drop the locks that this process may hold on
        it through other handles (https://www.sqlite.org/howtocorrupt.html, section 2.2). SQLite, asked to open a
        database without locks, cannot if it is in WAL mode.
        """
        if Path(f"{self._path}-wal").exists():
            return False
        try:
            probe = self._connect("mode=ro&nolock=1", timeout_s=0.0)
        except sqlite3.Error:
            return False  # opened again as usual, which gives the reason
        try:
            probe.execute("PRAGMA journal_mode")
        except sqlite3.Error as error:
            return error.sqlite_errorcode == sqlite3.SQLITE_CANTOPEN
        finally:
            probe.close()
        return False

    def _connect(self, flags: str, *, timeout_s: float) -> sqlite3.Connection:
        uri = f"{self._path.absolute().as_uri()}?{flags}"
        return sqlite3.connect(uri, uri=True, timeout=timeout_s, isolation_level=None, check_same_thread=False)

    def _unavailable(self, error: BaseException) -> DatabaseUnavailableError:
        return DatabaseUnavailableError(
            f"cannot read {str(self._path)!r} as a SQLite database: {error}; "
            f"check the file with `sqlite3 FILE 'PRAGMA integrity_check'`, and that no writer holds it"
        )


def _lenient_text(raw: bytes) -> Any:
    """Text as UTF-8; bytes that are not become U+FFFD instead of failing the query."""
    return raw.decode("utf-8", "replace")
