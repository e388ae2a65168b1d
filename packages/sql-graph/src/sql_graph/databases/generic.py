"""Any other database that SQLAlchemy knows, protected only by what all of them have in common.

A statement must be one SELECT by its text, with no word of a writing statement outside strings and quoted names; its
transaction is always rolled back. It runs in a thread; at the deadline its connection is closed and the thread
abandoned. That is no sandbox: give the agent a user that may only read.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, literal_column, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from sql_graph.databases.base import Fault, Fetched
from sql_graph.databases.collect import collect
from sql_graph.databases.schema import Schema, read_schema
from sql_graph.databases.secrets import place, reason
from sql_graph.databases.statement import READING_WORDS, has_second_statement, prepare, words
from sql_graph.errors import DatabaseUnavailableError
from sql_graph.ports import ObservationStatus

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Connection, Engine

    from sql_graph.databases.limits import DatabaseLimits

WRITING_WORDS = frozenset(
    {
        "ALTER", "ANALYZE", "ATTACH", "BEGIN", "CALL", "COMMIT", "COPY", "CREATE", "DECLARE", "DELETE",
        "DETACH", "DO", "DROP", "EXEC", "EXECUTE", "EXPORT", "GRANT", "HANDLER", "IMPORT", "INSERT", "INSTALL",
        "INTO", "KILL", "LOAD", "LOCK", "MERGE", "OPENQUERY", "OPENROWSET", "PRAGMA", "PUT", "RENAME",
        "RESTORE", "REVOKE", "ROLLBACK", "SAVEPOINT", "SHUTDOWN", "TRUNCATE", "UNLOAD", "UPDATE", "UPSERT",
        "USE", "VACUUM", "WAITFOR",
    }
)  # fmt: skip


class GenericBackend:
    """A database behind any SQLAlchemy dialect."""

    def __init__(self, url: URL) -> None:
        self._url = url
        self._engine: Engine = create_engine(url, poolclass=NullPool)
        self.dialect = url.get_backend_name()

    def fetch(self, sql: str, *, limits: DatabaseLimits) -> Fetched | Fault:
        statement = prepare(sql, reading=READING_WORDS)
        if isinstance(statement, Fault):
            return statement
        if has_second_statement(statement):
            return Fault(status=ObservationStatus.REFUSED, message="only one statement can be run at a time")
        if found := words(statement) & WRITING_WORDS:
            return Fault(status=ObservationStatus.REFUSED, message=f"{min(found)} is not allowed, only reading is")
        connection = self._connect()
        job = _Job(connection, statement, limits, self._url)
        job.start()
        job.join(limits.deadline_s)
        if job.outcome is None:
            _abandon(connection)
            return Fault(status=ObservationStatus.TIMEOUT, message=f"stopped after {limits.deadline_s:g} s")
        if isinstance(job.outcome, Exception):
            raise job.outcome
        return job.outcome

    def sampling_query(self, table: str, columns: list[str], *, rows: int) -> str:
        wanted: list[Any] = [literal_column(name) for name in columns]
        query: Any = select(*wanted).select_from(text(table)).limit(rows)
        return str(query.compile(self._engine, compile_kwargs={"literal_binds": True}))

    def read_schema(self) -> Schema:
        try:
            return read_schema(self._engine)
        except SQLAlchemyError as error:
            raise self._unavailable(error) from None

    def identity(self) -> object:
        return self._url

    def close(self) -> None:
        self._engine.dispose()

    def __str__(self) -> str:
        return f"the {self.dialect} database {place(self._url)}"

    def _connect(self) -> Connection:
        try:
            return self._engine.connect().execution_options(no_parameters=True, stream_results=True)
        except SQLAlchemyError as error:
            raise self._unavailable(error) from None

    def _unavailable(self, error: Exception) -> DatabaseUnavailableError:
        return DatabaseUnavailableError(
            reason(error, self._url),
            database=str(self),
            advice="check the server, and the user and password in the URL",
        )


class _Job(threading.Thread):
    """One execution; a daemon, so that one left behind does not keep the process alive."""

    def __init__(self, connection: Connection, sql: str, limits: DatabaseLimits, url: URL) -> None:
        super().__init__(daemon=True)
        self._connection, self._sql, self._limits, self._url = connection, sql, limits, url
        self.outcome: Fetched | Fault | Exception | None = None

    def run(self) -> None:
        try:
            self.outcome = self._execute()
        except SQLAlchemyError as error:
            self.outcome = Fault(status=ObservationStatus.ERROR, message=reason(error, self._url))
        except Exception as error:  # noqa: BLE001  a driver may raise any error; all are the query's
            self.outcome = Fault(status=ObservationStatus.ERROR, message=reason(error, self._url))

    def _execute(self) -> Fetched | Fault:
        with self._connection as connection:
            transaction = connection.begin()
            try:
                result = connection.exec_driver_sql(self._sql)
                rows: Any = (tuple(row) for row in result)
                return collect(tuple(result.keys()), rows, self._limits)
            finally:
                transaction.rollback()


def _abandon(connection: Connection) -> None:
    """Stop what runs on a connection, by whichever means its driver has."""
    with contextlib.suppress(Exception):
        driver: Any = connection.connection.driver_connection
        for means in ("cancel", "interrupt", "close"):
            if hasattr(driver, means):
                getattr(driver, means)()
                return
