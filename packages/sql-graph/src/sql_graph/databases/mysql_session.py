"""One connection to MySQL or MariaDB: its read-only transaction, its deadline, and what its errors mean."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sql_graph.databases.base import Fault, Fetched
from sql_graph.databases.collect import collect
from sql_graph.databases.statement import has_second_statement
from sql_graph.ports import ObservationStatus

if TYPE_CHECKING:
    from sql_graph.databases.limits import DatabaseLimits

KILL_AFTER_S = 0.1
"""How long after the server's own deadline a second connection kills the query."""
_TIMEOUTS = (1317, 1969, 3024, 1205, 1028)  # interrupted, statement timeout (both servers), lock wait, sort aborted
_REFUSALS = (1792, 1142, 1143, 1044, 1227, 1370, 1290, 1223, 1036)  # read only, and denied in its many ways
_TOO_LARGE = (1153, 1301, 1038, 1041, 1037, 1114, 1104)  # packets, memory, temporary tables, MAX_JOIN_SIZE
_SYNTAX = 1064
_LOST = (2006, 2013, 2014, 2055, 1053, 1927, 1077, 1079)
_MANUAL = re.compile(r"check the manual that corresponds to your \w+ server version for the right syntax to use ")


class _LateError(Exception):
    """The deadline passed while rows came in."""


CONNECTION_LOST = Fault(
    status=ObservationStatus.ERROR, message="the server closed the connection while it ran this query"
)


class Session:
    """A connection that knows how its server sets a deadline. For one thread at a time."""

    def __init__(self, connection: Any) -> None:
        # `Any` because PyMySQL's published types leave out half of what is used here.
        self._connection = connection
        self.thread_id: int = connection.thread_id()
        self._is_mariadb = "mariadb" in str(connection.get_server_info()).lower()
        self._limits: DatabaseLimits | None = None

    def begin(self, limits: DatabaseLimits) -> None:
        """Start a transaction that can only read, under this deadline."""
        if limits != self._limits:
            s = limits.deadline_s
            deadline = f"max_statement_time = {s:.3f}" if self._is_mariadb else f"max_execution_time = {int(s * 1000)}"
            wait = max(1, int(s))
            self._execute(
                f"SET SESSION {deadline}, lock_wait_timeout = {wait}, innodb_lock_wait_timeout = {wait},"
                f" sql_select_limit = {limits.max_rows + 1}"
            )
            self._limits = limits
        self._execute("START TRANSACTION READ ONLY")

    def run(self, sql: str, limits: DatabaseLimits) -> tuple[Fetched | Fault, bool]:
        """Run a statement; return its outcome, and whether the connection can be used again."""
        from pymysql import MySQLError
        from pymysql.cursors import SSCursor

        ends_at = time.monotonic() + limits.deadline_s + KILL_AFTER_S
        cursor: Any = self._connection.cursor(SSCursor)
        complete = False
        try:
            cursor.execute(sql)
            if cursor.description is None:
                return Fault(status=ObservationStatus.REFUSED, message="the statement returns no rows"), False
            columns = tuple(item[0] for item in cursor.description)
            outcome = collect(columns, _until(cursor, ends_at), limits)
            # `sql_select_limit` ends most long results right here, and saves the connection.
            complete = isinstance(outcome, Fetched) and (not outcome.more or cursor.fetchone() is None)
        except _LateError:
            outcome = _timeout(limits)
        except MySQLError as error:
            outcome = _fault(error, sql, limits, late=time.monotonic() >= ends_at)
            complete = outcome is not CONNECTION_LOST
        except UnicodeDecodeError:
            outcome = Fault(status=ObservationStatus.ERROR, message="a text of the result is not valid UTF-8")
        if not complete:
            self._stop_reading(cursor)
        if time.monotonic() < ends_at - KILL_AFTER_S:
            return outcome, complete
        # A stopped SLEEP or BENCHMARK ends without an error, and a kill may still be on its way.
        return outcome if outcome is CONNECTION_LOST else _timeout(limits), False

    def ends(self) -> bool:
        """Undo everything; return whether that worked."""
        from pymysql import MySQLError

        try:
            self._execute("ROLLBACK")
        except MySQLError:
            return False
        return True

    def close(self) -> None:
        """Close the connection; the server undoes what is open."""
        from pymysql import MySQLError

        with contextlib.suppress(MySQLError):
            self._connection.close()

    def _execute(self, sql: str) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute(sql)

    def _stop_reading(self, cursor: Any) -> None:
        """Drop the socket: to close a result, PyMySQL would first read it to its end, whatever its size."""
        if cursor._result is not None:
            cursor._result.unbuffered_active = False
        self._connection._force_close()


def _until(rows: Any, ends_at: float) -> Iterator[tuple[Any, ...]]:
    for row in rows:
        if time.monotonic() > ends_at:
            raise _LateError
        yield row


def _timeout(limits: DatabaseLimits) -> Fault:
    return Fault(status=ObservationStatus.TIMEOUT, message=f"stopped after {limits.deadline_s:g} s")


def _fault(error: Exception, sql: str, limits: DatabaseLimits, *, late: bool) -> Fault:
    code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    if code in _TIMEOUTS or (late and code in _LOST):
        return _timeout(limits)
    if code in _LOST or code == 0:
        return CONNECTION_LOST
    if code == _SYNTAX and has_second_statement(sql):
        return Fault(status=ObservationStatus.REFUSED, message="only one statement can be run at a time")
    if code in _REFUSALS:
        return Fault(status=ObservationStatus.REFUSED, message=words(error))
    status = ObservationStatus.TOO_LARGE if code in _TOO_LARGE else ObservationStatus.ERROR
    return Fault(status=status, message=words(error))


def words(error: Exception) -> str:
    """The server's message without its number and its advice to read the manual."""
    return _MANUAL.sub("look ", str(error.args[1])) if len(error.args) > 1 else ""
