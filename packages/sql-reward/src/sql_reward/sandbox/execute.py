"""Run one untrusted statement against a SQLite file: read-only, within limits, and without a trace.

Knows nothing of gold queries or verdicts. A failing statement is an ordinary answer (`SqlFailure`); a missing, corrupt,
locked or half-written database is an error that names the file. The deadline counts processor seconds of the calling
thread, so a loaded machine changes no answer.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from sys import getsizeof
from time import thread_time
from typing import Final

from sql_reward.errors import DatabaseUnreadableError, StalledError
from sql_reward.rules.compare import Row
from sql_reward.sandbox.connections import Session, identify, session_for
from sql_reward.sandbox.expansion import expands_too_far
from sql_reward.sandbox.limits import Limits
from sql_reward.verdict import Outcome

OUR_FAULTS: Final = {
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_MISUSE,
}
"""Primary result codes that blame the file or the machine, whatever the statement."""
CHUNK_CELLS: Final = 64
"""Cells fetched between two looks at the size of the result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What a statement returned."""

    columns: tuple[str, ...]
    rows: list[Row]
    """One tuple a row; text that is not UTF-8 has lost its bad bytes, as in the official evaluator."""
    seconds: float
    """Processor seconds, fetching included."""
    size_bytes: int = 0
    """Memory the cells take, as Python counts it."""
    complete: bool = True
    """False when reading stopped early because the rows could no longer be the expected ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlFailure:
    """Why a statement returned nothing."""

    outcome: Outcome
    """NO_SQL, SQL_ERROR, FORBIDDEN, TIMEOUT or TOO_LARGE."""
    message: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a result must look like to be worth reading to its end."""

    rows: int
    columns: int


def run_sql(database: str | Path, sql: str, *, limits: Limits | None = None) -> Rows | SqlFailure:
    """Run one statement on a SQLite file and fetch its rows.

    Raises:
        DatabaseNotFoundError: there is no such file.
        DatabaseUnreadableError: it is not a database, damaged, locked, or half written.
        StalledError: the machine gave the statement too little processor time to say anything about it.
    """
    limits = limits or DEFAULT_LIMITS
    path = Path(database)
    session = session_for(path, identify(path))
    return execute(session, sql, limits=limits, cpu_end=thread_time() + limits.deadline_s)


DEFAULT_LIMITS: Final = Limits()


def execute(
    session: Session, sql: str, *, limits: Limits, cpu_end: float, expected: Shape | None = None
) -> Rows | SqlFailure:
    """Run one statement in an open session until `cpu_end` on the clock `time.thread_time`.

    With `expected`, reading stops (`complete=False`) as soon as the result cannot have that shape.
    """
    started = thread_time()

    def failed(outcome: Outcome, message: str) -> SqlFailure:
        return SqlFailure(outcome=outcome, message=message, seconds=thread_time() - started)

    if is_too_long(sql, limits):
        return failed(Outcome.TOO_LARGE, f"the statement is longer than {limits.max_sql_bytes} bytes")
    if expands_too_far(sql):
        return failed(Outcome.TOO_LARGE, "its common table expressions multiply beyond the limit")
    session.guard.begin(sql, limits, cpu_end)
    try:
        return _fetch(session, sql, limits=limits, started=started, expected=expected)
    except sqlite3.Warning as error:  # Python 3.11's class for "You can only execute one statement at a time."
        return failed(Outcome.FORBIDDEN, str(error))
    except sqlite3.Error as error:
        return _explain(session, error, failed)
    except MemoryError:
        return failed(Outcome.TOO_LARGE, "out of memory")
    except (ValueError, OverflowError) as error:  # NUL characters, lone surrogates: Python refuses the text itself
        return failed(Outcome.SQL_ERROR, f"not a statement: {error}")


def is_too_long(sql: str, limits: Limits) -> bool:
    """Whether the text exceeds `max_sql_bytes`; a lone surrogate counts as one byte."""
    longest = limits.max_sql_bytes
    return 4 * len(sql) > longest and (len(sql) > longest or len(sql.encode(errors="replace")) > longest)


def _fetch(session: Session, sql: str, *, limits: Limits, started: float, expected: Shape | None) -> Rows | SqlFailure:
    def failed(outcome: Outcome, message: str) -> SqlFailure:
        return SqlFailure(outcome=outcome, message=message, seconds=thread_time() - started)

    cursor = session.connection.cursor()
    try:
        cursor.execute(sql)
        if cursor.description is None:
            return failed(Outcome.NO_SQL, "nothing to run")
        columns = tuple([column[0] for column in cursor.description])
        rows: list[Row] = []
        size = 0
        complete = expected is None or not expected.rows or len(columns) == expected.columns
        chunk_rows = max(1, CHUNK_CELLS // len(columns))
        while complete and (chunk := cursor.fetchmany(chunk_rows)):
            rows += chunk
            size += sum(map(getsizeof, chain.from_iterable(chunk)))
            if expected is not None and len(rows) > expected.rows:
                complete = False
            elif len(rows) > limits.max_rows:
                return failed(Outcome.TOO_LARGE, f"more than {limits.max_rows} rows")
            elif size > limits.max_bytes:
                return failed(Outcome.TOO_LARGE, f"more than {limits.max_bytes} bytes of result")
        return Rows(columns=columns, rows=rows, seconds=thread_time() - started, size_bytes=size, complete=complete)
    except sqlite3.OperationalError as error:
        if session.lenient or not str(error).startswith("Could not decode to UTF-8"):
            raise
    finally:
        cursor.close()
    session.lenient = True
    session.connection.text_factory = _decode_leniently
    return _fetch(session, sql, limits=limits, started=started, expected=expected)


def _decode_leniently(raw: bytes) -> str:
    return raw.decode(errors="ignore")


def _explain(session: Session, error: sqlite3.Error, failed: Callable[[Outcome, str], SqlFailure]) -> SqlFailure:
    guard = session.guard
    message = str(error)
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # absent on errors that Python itself raises
    if guard.stalled_s:
        raise StalledError(session.path, guard.stalled_s) from error
    if guard.stopped is not None:
        return failed(guard.stopped, f"stopped at {guard.stopped_by}")
    if guard.refused:
        return failed(Outcome.FORBIDDEN, f"not allowed: {guard.refused}")
    if code in (sqlite3.SQLITE_AUTH, sqlite3.SQLITE_READONLY) or message.startswith(
        "You can only execute one statement"
    ):
        return failed(Outcome.FORBIDDEN, message)
    if code in (sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_FULL) or isinstance(
        error, sqlite3.DataError
    ):
        return failed(Outcome.TOO_LARGE, message)
    if code in OUR_FAULTS:
        raise DatabaseUnreadableError(session.path, message) from error
    return failed(Outcome.SQL_ERROR, message)
