"""MySQL and MariaDB: one statement in a read-only transaction, rolled back, under two deadlines.

The driver sends one statement at a time. `max_execution_time` (MySQL) or `max_statement_time` (MariaDB) ends a
query on the server. A hint in the query can lift the limit of MySQL, so a second connection kills a query that runs
on, and soon after the socket stops waiting. Locks and user variables outlive a transaction, and end with their
connection; files and functions that act outside it are refused by name. Still, give the agent a user that may only
read.
"""

from __future__ import annotations

import contextlib
import re
import threading
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from sql_graph.databases.base import Fault, Fetched
from sql_graph.databases.mysql_session import CONNECTION_LOST, KILL_AFTER_S, Session, words
from sql_graph.databases.pool import Pool
from sql_graph.databases.schema import Schema, read_schema
from sql_graph.databases.secrets import place, reason
from sql_graph.databases.statement import prepare
from sql_graph.errors import DatabaseUnavailableError
from sql_graph.ports import ObservationStatus

if TYPE_CHECKING:
    from pymysql import Connection
    from sqlalchemy.engine import URL

    from sql_graph.databases.limits import DatabaseLimits

CONNECT_TIMEOUT_S = 10
GIVE_UP_AFTER_S = 0.4
"""How long after the deadline the socket stops waiting for an answer."""

FORBIDDEN_NAMES = re.compile(
    r"""\b(?:outfile|dumpfile|load_file|get_lock|release_lock|release_all_locks|is_used_lock
      |(?:master|source)_pos_wait|wait_for_executed_gtid_set|master_gtid_wait|wait_until_sql_thread_after_gtids
      |sys_exec|sys_eval|setval|nextval|lastval|procedure\s+analyse)\b
      |next\s+value\s+for|/\*m?!""",
    re.IGNORECASE | re.VERBOSE,
)
"""What a read-only transaction does not stop, and comments that are code; searched for in the whole statement."""


class MysqlBackend:
    """One MySQL or MariaDB database, through PyMySQL whatever driver the URL names."""

    def __init__(self, url: URL, *, limits: DatabaseLimits) -> None:
        self._url = url.set(drivername=f"{url.get_backend_name()}+pymysql")
        self._limits = limits
        self._pool: Pool[Session] = Pool(Session.close)
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
                "the URL names no database", database=str(self), advice="add its name after the host: …/NAME"
            )
        return self._url

    def close(self) -> None:
        self._pool.clear()

    def __str__(self) -> str:
        return f"the {self.dialect} database {place(self._url)}"

    def _begin(self, limits: DatabaseLimits) -> Session:
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

    def _connect(self) -> Session:
        from pymysql import MySQLError

        connection = self._connect_plain(
            conv={},  # text as the server writes it: no date or number that Python cannot hold
            read_timeout=self._limits.deadline_s + GIVE_UP_AFTER_S,
        )
        try:
            return Session(connection)
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
        """Kill the query of a connection from a second one. Where that fails, the socket stops waiting by itself."""
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
            words(error) or reason(error, self._url),
            database=str(self),
            advice="check the server, and the user and password in the URL",
        )
