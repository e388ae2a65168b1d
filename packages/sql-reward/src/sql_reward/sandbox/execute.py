"""Run one untrusted statement against a SQLite file: read-only, within limits, and without a trace.

Knows nothing of gold queries or verdicts. A failing statement is an ordinary answer (`SqlFailure`); a missing, corrupt,
locked or half-written database is an error that names the file. The deadline counts processor seconds of the calling
thread, so a loaded machine changes no answer.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from itertools import chain
from sys import getsizeof
from time import thread_time
from typing import Final, NamedTuple

from sql_reward.errors import DatabaseUnreadableError, MachineError, StalledError
from sql_reward.paths import PathLike, as_file
from sql_reward.rules.compare import Row
from sql_reward.sandbox.connections import Session, close_all, session_for
from sql_reward.sandbox.gate import GATE
from sql_reward.sandbox.growth import may_explode
from sql_reward.sandbox.identity import identify
from sql_reward.sandbox.limits import Limits
from sql_reward.sandbox.statement import Statement
from sql_reward.sandbox.trial import try_compiling
from sql_reward.verdict import Outcome

FILE_FAULTS: Final = {
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_MISUSE,
}
"""Primary result codes that blame the file, whatever the statement."""
READ_FAULTS: Final = {sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_CORRUPTFS}
"""Extended result codes that blame the file."""
MACHINE_FAULTS: Final = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN}
"""Primary result codes that blame the machine, its disks and temporary folders."""
CHUNK_CELLS: Final = 64
"""Cells fetched between two looks at the size of the result."""
BYTES_PER_BYTE: Final = 4
"""Bytes of memory that Python takes, at most, for a byte of text in a database."""
CELL_BYTES: Final = 100
"""Bytes of memory that it takes, at most, for a cell besides."""


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
    out_of_memory: bool = False
    """Whether the memory of this process ended, even with nothing else running: another process may have more."""


class Fetched(NamedTuple):
    """What a statement returned, for those who look at the clock themselves."""

    described: tuple[tuple[str | None, ...], ...]
    """A tuple for each column, of which the first value is its name."""
    rows: list[Row]
    complete: bool
    """As in `Rows`."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple([str(column[0]) for column in self.described])

    @property
    def size_bytes(self) -> int:
        """Memory the cells take, as Python counts it."""
        return _size_of(self.rows)


def run_sql(database: PathLike, sql: str, *, limits: Limits | None = None) -> Rows | SqlFailure:
    """Run one statement on a SQLite file and fetch its rows.

    Raises:
        DatabaseNotFoundError: there is no such file.
        DatabaseUnreadableError: it is no file, not a database, damaged, locked, or half written.
        MachineError: a disk is full, a temporary file cannot be made, or no process starts.
        StalledError: the machine gave the statement too little processor time to say anything about it.
    """
    limits = limits or DEFAULT_LIMITS
    file = as_file(database)
    session = session_for(file, identify(file))
    started = thread_time()
    found = run_statement(session, Statement(sql, max_bytes=limits.max_sql_bytes), limits)
    if isinstance(found, SqlFailure):
        return found
    return Rows(columns=found.columns, rows=found.rows, seconds=thread_time() - started, size_bytes=found.size_bytes)


DEFAULT_LIMITS: Final = Limits()


def run_statement(session: Session, statement: Statement, limits: Limits) -> Fetched | SqlFailure:
    """Run one statement in an open session with all the time that its limits give."""
    now = thread_time()
    return execute(session, statement, limits, started=now, cpu_end=now + limits.deadline_s)


def execute(
    session: Session,
    statement: Statement,
    limits: Limits,
    *,
    started: float,
    cpu_end: float,
    model: Fetched | None = None,
    reads: set[tuple[str, str]] | None = None,
) -> Fetched | SqlFailure:
    """Run one statement in an open session from `started` until `cpu_end` on the clock `time.thread_time`.

    With `model`, reading stops (`complete=False`) as soon as the result cannot have as many rows and columns as that
    one. With `reads`, the statement is only compiled, and the pairs of table and column that it reads are added.

    A statement that runs out of memory is asked again while no other runs in this process.

    Raises:
        DatabaseUnreadableError, MachineError, StalledError: see `run_sql`.
    """
    if statement.refused is not None and (reads is None or statement.refused[0] is not Outcome.FORBIDDEN):
        return SqlFailure(outcome=statement.refused[0], message=statement.refused[1], seconds=0.0)
    if statement.suspicious or (session.stored is not None and may_explode(statement.lowered, session.stored)):
        tried = _try_elsewhere(session, statement, limits, cpu_end=cpu_end)
        if isinstance(tried, SqlFailure):
            return tried
        started, cpu_end = started - tried, cpu_end - tried
    GATE.enter(session)
    while session.closed:  # by another thread, for its memory; opening it may want to be alone
        GATE.leave(session)
        session = session_for(session.file, session.identity)
        GATE.enter(session)
    try:
        found = _run(session, statement, limits, started, cpu_end, model, reads)
    finally:
        GATE.leave(session)
    if isinstance(found, Fetched) or not found.out_of_memory:
        return found
    with GATE.alone():
        close_all()
        session = session_for(session.file, session.identity)
        again = thread_time()
        return _run(session, statement, limits, again, again + cpu_end - started, model, reads)


def _try_elsewhere(session: Session, statement: Statement, limits: Limits, *, cpu_end: float) -> SqlFailure | float:
    """Compile the statement in a process that can be ended: why it may not run, or the seconds that this took.

    It gets a quarter of the time that is left, because it is compiled once more, and then has to run.
    """
    tried = try_compiling(
        session.path,
        session.identity,
        session.schema_key,
        statement.sql,
        seconds=(cpu_end - thread_time()) / 4,
        wait_s=max(5.0, limits.stall_factor * limits.deadline_s),
    )
    if tried.refused is None:
        return tried.seconds
    reason = "the deadline" if tried.refused is Outcome.TIMEOUT else "the limit on memory"
    return SqlFailure(outcome=tried.refused, message=f"stopped at {reason} while compiling", seconds=tried.seconds)


def _run(
    session: Session,
    statement: Statement,
    limits: Limits,
    started: float,
    cpu_end: float,
    model: Fetched | None,
    reads: set[tuple[str, str]] | None,
) -> Fetched | SqlFailure:
    """Run the statement in this session, once."""
    guard = session.guard
    sql = statement.sql
    if reads is not None:  # what it reads is told while it is compiled
        guard.forget()
        sql = f"EXPLAIN {sql}"
    guard.begin(statement, limits, cpu_left=cpu_end - started, cpu_end=cpu_end)
    guard.reads = reads
    try:
        return _fetch(session.connection.execute(sql), limits, model, started)
    except sqlite3.Warning as error:  # Python 3.11's class for "You can only execute one statement at a time."
        return _failed(Outcome.FORBIDDEN, str(error), started)
    except sqlite3.Error as error:
        if session.lenient or not str(error).startswith("Could not decode to UTF-8"):
            return _explain(session, error, started)
    except MemoryError:
        return _failed(Outcome.TOO_LARGE, "out of memory", started, out_of_memory=True)
    except (ValueError, OverflowError) as error:  # NUL characters, lone surrogates: Python refuses the text itself
        return _failed(Outcome.SQL_ERROR, f"not a statement: {error}", started)
    session.lenient = True
    session.connection.text_factory = _decode_leniently
    return _run(session, statement, limits, started, cpu_end, model, reads)


def _failed(outcome: Outcome, message: str, started: float, *, out_of_memory: bool = False) -> SqlFailure:
    return SqlFailure(outcome=outcome, message=message, seconds=thread_time() - started, out_of_memory=out_of_memory)


def _fetch(cursor: sqlite3.Cursor, limits: Limits, model: Fetched | None, started: float) -> Fetched | SqlFailure:
    try:
        described = cursor.description
        if described is None:
            return _failed(Outcome.NO_SQL, "nothing to run", started)
        width = len(described)
        rows: list[Row] = []
        if model is not None and model.rows and width != len(model.described):
            return Fetched(described, rows, False)
        most_rows = limits.max_rows if model is None else len(model.rows)
        chunk_rows = CHUNK_CELLS // width or 1
        size = weighed = 0
        while True:
            chunk = cursor.fetchmany(chunk_rows)
            rows += chunk
            if len(rows) > most_rows:
                if model is not None:
                    return Fetched(described, rows, False)
                return _failed(Outcome.TOO_LARGE, f"more than {limits.max_rows} rows", started)
            if len(rows) * width * (BYTES_PER_BYTE * limits.max_cell_bytes + CELL_BYTES) > limits.max_bytes:
                size += _size_of(rows[weighed:])
                weighed = len(rows)
                if size > limits.max_bytes:
                    return _failed(Outcome.TOO_LARGE, f"more than {limits.max_bytes} bytes of result", started)
            if len(chunk) < chunk_rows:
                return Fetched(described, rows, True)
    finally:
        cursor.close()


def _size_of(rows: list[Row]) -> int:
    return sum(map(getsizeof, chain.from_iterable(rows)))


def _decode_leniently(raw: bytes) -> str:
    return raw.decode(errors="ignore")


def _explain(session: Session, error: sqlite3.Error, started: float) -> SqlFailure:
    guard = session.guard
    message = str(error)
    extended = getattr(error, "sqlite_errorcode", 0)  # absent on errors that Python itself raises
    code = extended & 0xFF
    if guard.stalled_s:
        raise StalledError(session.path, guard.stalled_s) from error
    if guard.stopped is not None:
        return _failed(guard.stopped, f"stopped at {guard.stopped_by}", started)
    if guard.refused:
        return _failed(Outcome.FORBIDDEN, f"not allowed: {guard.refused}", started)
    if code in (sqlite3.SQLITE_AUTH, sqlite3.SQLITE_READONLY) or message.startswith(
        "You can only execute one statement"
    ):
        return _failed(Outcome.FORBIDDEN, message, started)
    if code == sqlite3.SQLITE_NOMEM:
        return _failed(Outcome.TOO_LARGE, message, started, out_of_memory=True)
    if code == sqlite3.SQLITE_TOOBIG or isinstance(error, sqlite3.DataError):
        return _failed(Outcome.TOO_LARGE, message, started)
    if code in FILE_FAULTS or extended in READ_FAULTS:
        raise DatabaseUnreadableError(session.path, message) from error
    if code in MACHINE_FAULTS:
        raise MachineError(session.path, message) from error
    return _failed(Outcome.SQL_ERROR, message, started)
