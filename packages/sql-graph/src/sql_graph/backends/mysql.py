"""MySQL and MariaDB: one statement in a read-only transaction, rolled back, under two deadlines.

The driver sends one statement at a time. `max_execution_time` (MySQL) or `max_statement_time` (MariaDB) ends a
query on the server; a hint in the query may lift that of MySQL, so a second connection kills what runs on, and the
socket itself stops waiting soon after. What outlives a transaction (locks, user variables) ends with its connection;
files and functions that act outside it are refused by name. A user that may only read is still advised.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from sql_graph.backends.base import Fault, Fetched
from sql_graph.backends.collect import collect
from sql_graph.backends.pool import Pool
from sql_graph.backends.secrets import place, reason
from sql_graph.backends.statement import has_second_statement, prepare
from sql_graph.errors import DatabaseUnavailableError
from sql_graph.ports import ObservationStatus
from sql_graph.schema import Schema, read_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymysql import Connection
    from sqlalchemy.engine import URL

    from sql_graph.limits import DatabaseLimits

CONNECT_TIMEOUT_S = 10
KILL_AFTER_S = 0.1
"""How long after the server's own deadline a second connection kills the query."""
GIVE_UP_AFTER_S = 0.4
"""How long after the deadline the socket stops waiting for an answer."""

FORBIDDEN_NAMES = re.compile(
    r"""\b(?:outfile|dumpfile|load_file|get_lock|release_lock|release_all_locks|is_used_lock
      |(?:master|source)_pos_wait|wait_for_executed_gtid_set|master_gtid_wait|wait_until_sql_thread_after_gtids
      |sys_exec|sys_eval|setval|nextval|lastval|procedure\s+analyse)\b
      |next\s+value\s+for|/\*m?!""",
    re.IGNORECASE | re.VERBOSE,
)
"""What a read-only transaction does not stop, and comments that are code. Looked for anywhere in the statement."""

_TIMEOUTS = (1317, 1969, 3024, 1205, 1028)  # interrupted, statement timeout (both servers), lock wait, sort aborted
_REFUSALS = (1792, 1142, 1143, 1044, 1227, 1370, 1290, 1223, 1036)  # read only, and denied in its many ways
_TOO_LARGE = (1153, 1301, 1038, 1041, 1037, 1114, 1104)  # packets, memory, temporary tables, MAX_JOIN_SIZE
_SYNTAX = 1064
_LOST = (2006, 2013, 2014, 2055, 1053, 1927, 1077, 1079)
_MANUAL = re.compile(r"check the manual that corresponds to your \w+ server version for the right syntax to use ")


class MysqlBackend:
    """One MySQL or MariaDB database, through PyMySQL whatever driver the URL names."""

    def __init__(self, url: URL, *, limits: DatabaseLimits) -> None:
        self._url = url.set(drivername=f"{url.get_backend_name()}+pymysql")
        self._limits = limits
        self._pool: Pool[_Session] = Pool(_Session.close)
        self.dialect = "MariaDB" if url.get_backend_name() == "mariadb" else "MySQL"

    def fetch(self, sql: str, *, limits: DatabaseLimits) -> Fetched | Fault:
        statement = prepare(sql)
        if isinstance(statement, Fault):
            return statement
        if found := FORBIDDEN_NAMES.search(statement):
            return Fault(status=ObservationStatus.REFUSED, message=f"{found.group()} is not allowed, only reading is")
        session = self._begin(limits)
        timer = threading.Timer(limits.deadline_s + KILL_AFTER_S, self._kill, [session.thread_id])
        timer.daemon = True
        timer.start()
        try:
            outcome, complete = session.run(statement, limits)
        except BaseException:
            session.close()
            raise
        finally:
            timer.cancel()
        if outcome is CONNECTION_LOST:
            session.close()
            self._connect().close()  # raises if the server is gone; else the query itself ended its session
        elif complete and "@" not in statement and session.ends():
            self._pool.give(session, None)
        else:
            if not complete:
                self._kill(session.thread_id)
            session.close()
        return outcome

    def sampling_query(self, table: str, columns: list[str], *, rows: int) -> str:
        wanted = ", ".join(f"substr({name}, 1, 64)" for name in columns)
        return f"SELECT {wanted} FROM {table} LIMIT {rows}"

    def read_schema(self) -> Schema:
        engine = create_engine(self._url, creator=self._connect_plain, poolclass=NullPool)
        try:
            return read_schema(engine)
        except DBAPIError as error:
            raise self._unavailable(error) from None

    def identity(self) -> object:
        if not self._url.database:
            raise DatabaseUnavailableError(
                f"no database is named in the {self.dialect} URL; add its name after the host: …/NAME"
            )
        return self._url

    def close(self) -> None:
        self._pool.clear()

    def __str__(self) -> str:
        return f"the {self.dialect} database {place(self._url)}"

    def _begin(self, limits: DatabaseLimits) -> _Session:
        """A session inside a read-only transaction; an idle one where it still lives."""
        from pymysql import MySQLError

        while (idle := self._pool.take(None)) is not None:
            try:
                idle.begin(limits)
            except MySQLError:
                idle.close()  # the server ended it while it was idle
            else:
                return idle
        session = self._connect()
        try:
            session.begin(limits)
        except MySQLError as error:
            session.close()
            raise self._unavailable(error) from None
        return session

    def _connect(self) -> _Session:
        from pymysql import MySQLError

        connection = self._connect_plain(
            conv={},  # text as the server writes it: no date or number that Python cannot hold
            read_timeout=self._limits.deadline_s + GIVE_UP_AFTER_S,
        )
        try:
            return _Session(connection)
        except MySQLError as error:
            connection.close()
            raise self._unavailable(error) from None

    def _connect_plain(self, **more: Any) -> Connection[Any]:
        import pymysql

        arguments, options = self._url.get_dialect()().create_connect_args(self._url)
        fixed = {"client_flag": 0, "local_infile": False, "charset": "utf8mb4", "autocommit": True}
        try:
            return pymysql.connect(*arguments, **{"connect_timeout": CONNECT_TIMEOUT_S, **options, **fixed, **more})
        except (pymysql.MySQLError, OSError) as error:
            raise self._unavailable(error) from None

    def _kill(self, thread_id: int) -> None:
        """End what a connection runs, from a second one; best done, not needed: the socket gives up by itself."""
        from pymysql import MySQLError

        with contextlib.suppress(MySQLError, DatabaseUnavailableError):
            connection = self._connect_plain(connect_timeout=1, read_timeout=1)
            try:
                with connection.cursor() as cursor:
                    cursor.execute(f"KILL QUERY {thread_id}")
            finally:
                connection.close()

    def _unavailable(self, error: Exception) -> DatabaseUnavailableError:
        return DatabaseUnavailableError(
            f"cannot use {self}: {_words(error) or reason(error, self._url)}; "
            f"check the server, and the user and password in the URL"
        )


class _LateError(Exception):
    """The deadline passed while rows came in."""


CONNECTION_LOST = Fault(
    status=ObservationStatus.ERROR, message="the server closed the connection while it ran this query"
)


class _Session:
    """A connection with its server's way to set a deadline. For one thread at a time."""

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
        """What the statement gave, and whether the connection may serve again."""
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
        # SLEEP and BENCHMARK end as if nothing had happened when they are stopped, and a kill may still be under way.
        return outcome if outcome is CONNECTION_LOST else _timeout(limits), False

    def ends(self) -> bool:
        """Undo everything; whether that worked."""
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
        """Drop the socket: PyMySQL would read a result of any size to its end before it closes one."""
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
        return Fault(status=ObservationStatus.REFUSED, message=_words(error))
    status = ObservationStatus.TOO_LARGE if code in _TOO_LARGE else ObservationStatus.ERROR
    return Fault(status=status, message=_words(error))


def _words(error: Exception) -> str:
    """The server's message without its number and its advice to read the manual."""
    return _MANUAL.sub("look ", str(error.args[1])) if len(error.args) > 1 else ""
