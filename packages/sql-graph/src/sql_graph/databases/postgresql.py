"""PostgreSQL: one statement in a read-only transaction, always rolled back, with the server's and our own deadline.

The server accepts exactly one statement, so no query can end the transaction, and it sets `statement_timeout` before
that statement starts. Functions that act outside the transaction (files, other sessions, locks, text run as SQL) are
refused by name, and a superuser's queries run as `pg_read_all_data`. Still, give the agent a role that may only read.
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from sql_graph.databases.base import Fault, Fetched
from sql_graph.databases.pool import Pool
from sql_graph.databases.schema import Schema, read_schema
from sql_graph.databases.secrets import place, reason
from sql_graph.databases.statement import prepare
from sql_graph.errors import DatabaseUnavailableError
from sql_graph.ports import ObservationStatus

if TYPE_CHECKING:
    from psycopg import Connection
    from sqlalchemy.engine import URL

    from sql_graph.databases.limits import DatabaseLimits

CONNECT_TIMEOUT_S = 10
CANCEL_TIMEOUT_S = 0.2

FORBIDDEN_NAMES = re.compile(
    r"""\b(?:set_config|pg_read_\w*file|pg_ls_\w+|pg_stat_file|pg_file_\w+|pg_logdir_ls
      |lo_(?:import|export|creat|create|open|put|get|from_bytea|unlink|truncate|truncate64)|lowrite|loread|dblink\w*
      |pg_(?:terminate|cancel)_backend|pg_reload_conf|pg_rotate_logfile\w*|pg_switch_wal|pg_promote|pg_notify
      |pg_(?:create|drop|copy|import|logical|replication|wal_replay|backup|start_backup|stop_backup)_\w+
      |pg_(?:try_)?advisory\w*|pg_stat_(?:statements_)?reset\w*|pg_log_\w+
      |(?:query|cursor)_to_xml\w*|ts_stat|ts_rewrite|crosstab\w*|connectby|xpath_table)\b
      |\bu&\s*\"""",
    re.IGNORECASE | re.VERBOSE,
)
"""Functions that a read-only transaction does not stop, those that run text as SQL, and names in escapes.

Searched for in the whole statement, strings and comments included, so that no quoting hides them; an ordinary query
does not name them.
"""

_WHO = (
    "SELECT current_setting('server_version_num')::int >= 140000 AND r.rolsuper"
    " AND NOT EXISTS (SELECT FROM pg_class WHERE relrowsecurity),"
    " (SELECT string_agg(quote_ident(s), ', ') FROM unnest(current_schemas(false)) s)"
    " FROM pg_roles r WHERE r.rolname = current_user"
)
"""Whether the user is a superuser whose queries can run with fewer rights; and the search path, set by the role's name.

`pg_read_all_data` exists since version 14; unlike a superuser, it does not bypass row security.
"""


class PostgresqlBackend:
    """One PostgreSQL database, through psycopg whatever driver the URL names."""

    dialect = "PostgreSQL"

    def __init__(self, url: URL) -> None:
        self._url = url.set(drivername="postgresql+psycopg")
        self._pool: Pool[_Session] = Pool(_Session.close)

    def fetch(self, sql: str, *, limits: DatabaseLimits) -> Fetched | Fault:
        from sql_graph.databases.libpq import CONNECTION_LOST, run_one

        statement = prepare(sql)
        if isinstance(statement, Fault):
            return statement
        if found := FORBIDDEN_NAMES.search(statement):
            return Fault(status=ObservationStatus.REFUSED, message=f"{found.group()} is not allowed, only reading is")
        session = self._begin(limits)
        try:
            outcome, complete = run_one(session.connection, statement, limits)
        except BaseException:
            session.close()
            raise
        if outcome is CONNECTION_LOST:
            session.close()
            self._connect().close()  # raises if the server is gone; else the query itself ended its session
        elif complete and session.ends():
            self._pool.give(session, None)
        else:
            session.cancel()
        return outcome

    def sampling_query(self, table: str, columns: list[str], *, rows: int) -> str:
        wanted = ", ".join(f"substr({name}::text, 1, 64)" for name in columns)
        return f"SELECT {wanted} FROM {table} LIMIT {rows}"

    def read_schema(self) -> Schema:
        engine = create_engine(self._url, creator=self._connect_plain, poolclass=NullPool)
        try:
            return read_schema(engine)
        except DBAPIError as error:
            raise self._unavailable(error) from None

    def identity(self) -> object:
        return self._url

    def close(self) -> None:
        self._pool.clear()

    def __str__(self) -> str:
        return f"the PostgreSQL database {place(self._url)}"

    def _begin(self, limits: DatabaseLimits) -> _Session:
        """A session inside a read-only transaction; an idle one where it still lives."""
        from psycopg import Error

        while (idle := self._pool.take(None)) is not None:
            try:
                idle.begin(limits.deadline_s)
            except Error:
                idle.close()  # the server ended it while it was idle
            else:
                return idle
        session = self._connect()
        try:
            session.begin(limits.deadline_s)
        except Error as error:
            session.close()
            raise self._unavailable(error) from None
        return session

    def _connect(self) -> _Session:
        from psycopg import Error

        connection = self._connect_plain()
        try:
            connection.autocommit = True
            connection.prepare_threshold = None  # prepared statements do not outlive DISCARD ALL
            return _Session(connection)
        except Error as error:
            connection.close()
            raise self._unavailable(error) from None

    def _connect_plain(self) -> Connection[Any]:
        import psycopg

        arguments, options = self._url.get_dialect()().create_connect_args(self._url)
        defaults = {"connect_timeout": CONNECT_TIMEOUT_S, "application_name": "sql-graph"}
        try:
            return psycopg.connect(*arguments, **{**defaults, **options, "client_encoding": "utf8"})
        except psycopg.Error as error:
            raise self._unavailable(error) from None

    def _unavailable(self, error: Exception) -> DatabaseUnavailableError:
        return DatabaseUnavailableError(
            reason(error, self._url),
            database=str(self),
            advice="check the server, and the user and password in the URL",
        )


class _Session:
    """A connection with the statements that begin each of its transactions. For one thread at a time."""

    def __init__(self, connection: Connection[Any]) -> None:
        self.connection = connection
        fewer_rights, path = connection.execute(_WHO).fetchone() or (False, None)
        keep_path = f"; SET LOCAL search_path = {path}" if path else ""
        self._role = f"{keep_path}; SET LOCAL ROLE pg_read_all_data" if fewer_rights else ""

    def begin(self, deadline_s: float) -> None:
        """Start a transaction that can only read and that the server ends by itself."""
        ms = max(1, int(deadline_s * 1000))
        self._execute(
            f"BEGIN READ ONLY; SET LOCAL statement_timeout = {ms}; SET LOCAL lock_timeout = {ms};"
            f" SET LOCAL idle_in_transaction_session_timeout = {ms + 5_000}{self._role}"
        )

    def ends(self) -> bool:
        """Undo everything, including what outlives a transaction (locks, settings); return whether that worked."""
        from psycopg import Error

        try:
            self._execute("ROLLBACK")
            self._execute("DISCARD ALL")
        except Error:
            return False
        return True

    def cancel(self) -> None:
        """Stop a statement that still runs, and close the connection."""
        from psycopg import Error

        with contextlib.suppress(Error):
            self.connection.cancel_safe(timeout=CANCEL_TIMEOUT_S)
        self.close()

    def close(self) -> None:
        """Close the connection; the server undoes what is open."""
        self.connection.close()

    def _execute(self, sql: str) -> None:
        self.connection.execute(sql.encode())
