"""Run one untrusted statement against a SQLite file: read-only, within limits, and without a trace.

Knows nothing of gold queries or verdicts. A failing statement is an ordinary answer (`SqlFailure`); a missing, corrupt,
locked or half-written database is an error that names the file. The deadline counts processor seconds of the calling
thread, so a loaded machine changes no answer.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from sys import getsizeof
from time import thread_time
from typing import Final

from sql_reward.errors import DatabaseUnreadableError, MachineError, StalledError
from sql_reward.paths import PathLike, as_path
from sql_reward.rules.compare import Row
from sql_reward.sandbox.connections import Session, close_all, session_for
from sql_reward.sandbox.expansion import expands_too_far
from sql_reward.sandbox.gate import GATE
from sql_reward.sandbox.growth import may_explode
from sql_reward.sandbox.guard import described_by
from sql_reward.sandbox.identity import identify
from sql_reward.sandbox.limits import Limits
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
SHORT_CHARS: Final = 2_000
"""Statements of this length are worth remembering."""
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
    out_of_memory: bool = False
    """Whether the memory of this process ended, even with nothing else running: another process may have more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a result must look like to be worth reading to its end."""

    rows: int
    columns: int


def run_sql(database: PathLike, sql: str, *, limits: Limits | None = None) -> Rows | SqlFailure:
    """Run one statement on a SQLite file and fetch its rows.

    Raises:
        DatabaseNotFoundError: there is no such file.
        DatabaseUnreadableError: it is no file, not a database, damaged, locked, or half written.
        MachineError: a disk is full, a temporary file cannot be made, or no process starts.
        StalledError: the machine gave the statement too little processor time to say anything about it.
    """
    limits = limits or DEFAULT_LIMITS
    path = as_path(database)
    session = session_for(path, identify(path))
    return execute(session, sql, limits=limits, cpu_end=thread_time() + limits.deadline_s)


DEFAULT_LIMITS: Final = Limits()


def execute(
    session: Session,
    sql: str,
    *,
    limits: Limits,
    cpu_end: float,
    expected: Shape | None = None,
    reads: set[tuple[str, str]] | None = None,
) -> Rows | SqlFailure:
    """Run one statement in an open session until `cpu_end` on the clock `time.thread_time`.

    With `expected`, reading stops (`complete=False`) as soon as the result cannot have that shape. With `reads`, the
    statement is only compiled, and the pairs of table and column that it reads are added.

    A statement that runs out of memory is asked again while no other runs in this process.

    Raises:
        DatabaseUnreadableError, MachineError, StalledError: see `run_sql`.
    """
    started = thread_time()
    refused = _refused_unseen(sql, limits, may_explain=reads is not None)
    if refused is not None:
        return SqlFailure(outcome=refused[0], message=refused[1], seconds=0.0)
    if may_explode(sql, session.stored):
        tried = _try_elsewhere(session, sql, limits=limits, cpu_end=cpu_end)
        if isinstance(tried, SqlFailure):
            return tried
        started, cpu_end = started - tried, cpu_end - tried
    if reads is not None:
        sql = f"EXPLAIN {sql}"
    GATE.enter()
    while session.closed:  # by another thread, for its memory; opening it may want to be alone
        GATE.leave()
        session = session_for(session.path, session.identity)
        GATE.enter()
    try:
        found = _run(session, sql, limits, expected, reads, started=started, cpu_end=cpu_end)
    finally:
        GATE.leave()
    if isinstance(found, Rows) or not found.out_of_memory:
        return found
    with GATE.alone():
        close_all()
        session = session_for(session.path, session.identity)
        again = thread_time()
        return _run(session, sql, limits, expected, reads, started=again, cpu_end=again + cpu_end - started)


def _refused_unseen(sql: str, limits: Limits, *, may_explain: bool) -> tuple[Outcome, str] | None:
    if is_too_long(sql, limits):
        return Outcome.TOO_LARGE, f"the statement is longer than {limits.max_sql_bytes} bytes"
    expands, word = _read_short(sql) if len(sql) <= SHORT_CHARS else _read(sql)
    if expands:
        return Outcome.TOO_LARGE, "its common table expressions multiply beyond the limit"
    if word and not may_explain:
        return Outcome.FORBIDDEN, f"not allowed: {word}"
    return None


def _read(sql: str) -> tuple[bool, str]:
    """Whether it grows too much when written out, and the word that makes it no query, if there is one."""
    return expands_too_far(sql), described_by(sql)


_read_short = lru_cache(maxsize=4096)(_read)


def _try_elsewhere(session: Session, sql: str, *, limits: Limits, cpu_end: float) -> SqlFailure | float:
    """Compile the statement in a process that can be ended: why it may not run, or the seconds that this took.

    It gets a quarter of the time that is left, because it is compiled once more, and then has to run.
    """
    tried = try_compiling(
        session.path,
        session.identity,
        session.schema_key,
        sql,
        seconds=(cpu_end - thread_time()) / 4,
        wait_s=max(5.0, limits.stall_factor * limits.deadline_s),
    )
    if tried.refused is None:
        return tried.seconds
    reason = "the deadline" if tried.refused is Outcome.TIMEOUT else "the limit on memory"
    return SqlFailure(outcome=tried.refused, message=f"stopped at {reason} while compiling", seconds=tried.seconds)


def _run(
    session: Session,
    sql: str,
    limits: Limits,
    expected: Shape | None,
    reads: set[tuple[str, str]] | None,
    *,
    started: float,
    cpu_end: float,
) -> Rows | SqlFailure:
    """Run the statement in this session, once. Written for speed: a reward runs two statements."""
    guard = session.guard
    if reads is not None:  # what it reads is told while it is compiled
        guard.forget()
    guard.begin(sql, limits, cpu_now=started, cpu_end=cpu_end)
    guard.reads = reads
    try:
        return _fetch(session, sql, limits, expected, started)
    except sqlite3.Warning as error:  # Python 3.11's class for "You can only execute one statement at a time."
        return _failed(Outcome.FORBIDDEN, str(error), started)
    except sqlite3.Error as error:
        return _explain(session, error, started)
    except MemoryError:
        return _failed(Outcome.TOO_LARGE, "out of memory", started, out_of_memory=True)
    except (ValueError, OverflowError) as error:  # NUL characters, lone surrogates: Python refuses the text itself
        return _failed(Outcome.SQL_ERROR, f"not a statement: {error}", started)
    finally:
        guard.reads = None


def _failed(outcome: Outcome, message: str, started: float, *, out_of_memory: bool = False) -> SqlFailure:
    return SqlFailure(outcome=outcome, message=message, seconds=thread_time() - started, out_of_memory=out_of_memory)


def is_too_long(sql: str, limits: Limits) -> bool:
    """Whether the text exceeds `max_sql_bytes`; a lone surrogate counts as one byte."""
    longest = limits.max_sql_bytes
    return 4 * len(sql) > longest and (len(sql) > longest or len(sql.encode(errors="replace")) > longest)


def _fetch(session: Session, sql: str, limits: Limits, expected: Shape | None, started: float) -> Rows | SqlFailure:
    cursor = session.connection.cursor()
    try:
        cursor.execute(sql)
        if cursor.description is None:
            return _failed(Outcome.NO_SQL, "nothing to run", started)
        columns = tuple([column[0] for column in cursor.description])
        rows: list[Row] = []
        size = 0
        complete = expected is None or not expected.rows or len(columns) == expected.columns
        chunk_rows = max(1, CHUNK_CELLS // len(columns))
        while complete:
            chunk = cursor.fetchmany(chunk_rows)
            rows += chunk
            size += sum(map(getsizeof, chain.from_iterable(chunk)))
            if expected is not None and len(rows) > expected.rows:
                complete = False
            elif len(rows) > limits.max_rows:
                return _failed(Outcome.TOO_LARGE, f"more than {limits.max_rows} rows", started)
            elif size > limits.max_bytes:
                return _failed(Outcome.TOO_LARGE, f"more than {limits.max_bytes} bytes of result", started)
            if len(chunk) < chunk_rows:
                break
        return Rows(columns=columns, rows=rows, seconds=thread_time() - started, size_bytes=size, complete=complete)
    except sqlite3.OperationalError as error:
        if session.lenient or not str(error).startswith("Could not decode to UTF-8"):
            raise
    finally:
        cursor.close()
    session.lenient = True
    session.connection.text_factory = _decode_leniently
    return _fetch(session, sql, limits, expected, started)


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
