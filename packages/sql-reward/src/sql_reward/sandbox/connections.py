"""Read-only connections to SQLite files that are kept and reused, one set per process and thread.

Promises: the file is opened immutable and never written, a changed file is opened anew, a file that is damaged,
locked or half written is an error that names it, and a forked process never uses its parent's connections.
"""

from __future__ import annotations

import os
import re
import sqlite3
import threading
import weakref
from collections import OrderedDict
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sql_reward.errors import DatabaseNotFoundError, DatabaseUnreadableError, MachineError
from sql_reward.sandbox.gate import GATE
from sql_reward.sandbox.growth import Stored
from sql_reward.sandbox.guard import KEPT_STATEMENTS, Guard
from sql_reward.sandbox.identity import FileIdentity
from sql_reward.sandbox.statement import names_computed_tables

MAX_OPEN: Final = 256
"""Connections that the threads of one process keep open together; a thread closes its own least recently used ones."""
MAX_HEAP_BYTES: Final = 256 * 1024 * 1024
"""What SQLite may allocate in this process, all its connections together. SQLite lets a process lower this, never
raise it."""
CACHE_HEAP_BYTES: Final = 96 * 1024 * 1024
"""From this much on, connections reuse the pages of their caches instead of taking more, so that the caches of many
databases leave room for the statement that runs."""
LOG_STARTS: Final = (bytes.fromhex("377f0682"), bytes.fromhex("377f0683"))
"""How a write-ahead log begins (https://sqlite.org/fileformat2.html#wal_file_format)."""
LOG_HEADER_BYTES: Final = 32
"""Length of a log without changes."""
VIRTUAL_MODULES: Final = frozenset({"fts3", "fts4", "fts4aux", "fts5", "fts5vocab", "rtree", "rtree_i32", "geopoly"})
"""Modules whose tables in a database can be read. They compute from what the database holds and reach no other file."""
_MODULE: Final = re.compile(r"\s*CREATE\s+VIRTUAL\s+TABLE\b.*?\bUSING\s+[\"'`\[]?(\w+)", re.IGNORECASE | re.DOTALL)

JOURNAL_START: Final = bytes.fromhex("d9d505f920a163d7")
"""How a rollback journal begins; another file of that name is none (https://sqlite.org/fileformat2.html#the_rollback_journal)."""


@dataclass(slots=True, kw_only=True, eq=False, weakref_slot=True)
class Session:
    """An open database with its guard. Belongs to one thread of one process."""

    file: str
    """The file as it was asked for, which is the session's key."""
    path: Path
    """The same for messages and other processes."""
    identity: FileIdentity
    connection: sqlite3.Connection
    guard: Guard
    stored: Stored | None
    """What the database's own schema adds to statements, None if nothing."""
    schema_key: int
    """Equal for databases of equal schema."""
    lenient: bool = False
    """Whether text that is not UTF-8 loses its bad bytes instead of failing."""
    closed: bool = False
    """Whether its memory was needed: another session takes its place."""


class _Sessions(threading.local):
    """The sessions of one thread by file, most recently used last."""

    def __init__(self) -> None:
        self.by_file: OrderedDict[str, Session] = OrderedDict()


_sessions = _Sessions()
_everywhere: weakref.WeakSet[Session] = weakref.WeakSet()
"""The sessions of all threads; those of a thread that ended leave by themselves."""
_everywhere_lock = threading.Lock()
_inherited: list[object] = []
"""A parent process' connections: closing them here could disturb it, so they are only kept from the collector."""


def session_for(file: str, identity: FileIdentity) -> Session:
    """The session of this thread for this content of `file`; opens one when needed.

    Raises:
        DatabaseUnreadableError: the file is not a database, is locked, or has changes that were never merged into it.
        MachineError: there is no memory to open it.
    """
    sessions = _sessions.by_file
    session = sessions.get(file)
    if session is not None and session.identity == identity and not session.closed:
        sessions.move_to_end(file)
        return session
    if session is not None:
        _close(sessions.pop(file))
    try:
        session = _open(file, identity)
    except MemoryError:
        with GATE.alone():
            close_all()
            try:
                session = _open(file, identity)
            except MemoryError as error:
                raise MachineError(Path(file), "SQLite gets no memory to open it") from error
    sessions[file] = session
    with _everywhere_lock:
        _everywhere.add(session)
    while len(_everywhere) > MAX_OPEN and len(sessions) > 1:
        _close(sessions.popitem(last=False)[1])
    return session


def close_all() -> None:
    """Close the sessions of all threads, for their memory. Only while nothing runs in any of them."""
    with _everywhere_lock:
        sessions = list(_everywhere)
    for session in sessions:
        _close(session)


def _close(session: Session) -> None:
    session.closed = True
    with _everywhere_lock:
        _everywhere.discard(session)
    session.connection.close()


def _forget_all() -> None:
    global _everywhere, _everywhere_lock
    _inherited.append((list(_everywhere), _sessions.by_file))  # only the thread that forked lives on in the child
    _sessions.by_file = OrderedDict()
    _everywhere = weakref.WeakSet[Session]()
    _everywhere_lock = threading.Lock()


os.register_at_fork(after_in_child=_forget_all)


def _open(file: str, identity: FileIdentity) -> Session:
    path = Path(file)
    connection = _connect(path)
    try:
        return _prepared(file, path, identity, connection)
    except sqlite3.Error as error:
        connection.close()
        raise _unreadable(path, error) from error
    except BaseException:
        connection.close()
        raise


def _connect(path: Path) -> sqlite3.Connection:
    try:
        _refuse_unfinished(path)
        return sqlite3.connect(
            _uri(path, "mode=ro&immutable=1"),
            uri=True,
            isolation_level=None,
            cached_statements=KEPT_STATEMENTS,
            check_same_thread=False,  # another thread may close it, see `close_all`
        )
    except FileNotFoundError as error:
        raise DatabaseNotFoundError(path) from error
    except (sqlite3.Error, OSError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> DatabaseUnreadableError:
    return DatabaseUnreadableError(path, f"{error}; expected a whole SQLite database that nobody is writing")


def _prepared(file: str, path: Path, identity: FileIdentity, connection: sqlite3.Connection) -> Session:
    connection.execute("PRAGMA query_only = ON")
    heap_bytes = connection.execute("PRAGMA hard_heap_limit").fetchone()[0]
    if not 0 < heap_bytes <= MAX_HEAP_BYTES:
        connection.execute(f"PRAGMA hard_heap_limit = {MAX_HEAP_BYTES}")
    connection.execute(f"PRAGMA soft_heap_limit = {CACHE_HEAP_BYTES}")
    schema = connection.execute("SELECT type, name, sql FROM sqlite_master").fetchall()  # a damaged one shows here
    stored = Stored.of(schema)
    guard = Guard(connection)
    guard.make_tables(_virtual_tables(schema))
    if any(map(names_computed_tables, stored.views.values())):
        guard.make_computed_tables()
    return Session(
        file=file,
        path=path,
        identity=identity,
        connection=connection,
        guard=guard,
        stored=stored or None,
        schema_key=hash(tuple(schema)),
    )


def _virtual_tables(schema: list[tuple[str, str, str | None]]) -> list[str]:
    """The tables of this schema that a known module computes, spelled for SQL."""
    found = [(name, _MODULE.match(sql)) for kind, name, sql in schema if kind == "table" and sql]
    return [
        '"{}"'.format(name.replace('"', '""'))
        for name, module in found
        if module is not None and module[1].lower() in VIRTUAL_MODULES
    ]


def _refuse_unfinished(path: Path) -> None:
    """Refuse a file that is being written, or that needs a log or a journal beside it to be whole.

    An immutable connection sees neither locks nor logs, so it would read such a file without complaint, and wrongly.
    """
    log = path.with_name(path.name + "-wal")
    if _start_of(log, LOG_HEADER_BYTES + 1).startswith(LOG_STARTS) and log.stat().st_size > LOG_HEADER_BYTES:
        raise DatabaseUnreadableError(
            path, f"{log.name!r} holds changes not merged into it; close the program writing it"
        )
    with path.open("rb") as file:
        header = file.read(20)
    if log.exists() or (len(header) == 20 and header[18] == 2):
        return  # in write-ahead mode, or with any file of the log's name, a connection with locks would create files
    try:
        with closing(sqlite3.connect(_uri(path, "mode=ro"), uri=True, timeout=0.0)) as probe:
            probe.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_READONLY:
            raise
        journal = path.with_name(path.name + "-journal")  # a read-only opener may not roll it back
        if _start_of(journal, len(JOURNAL_START)) == JOURNAL_START:
            reason = f"{journal.name!r} undoes a write that broke off; open the database once with SQLite to undo it"
            raise DatabaseUnreadableError(path, reason) from error


def _start_of(file: Path, size: int) -> bytes:
    """The first bytes of a regular file; none if there is none."""
    if not file.is_file():
        return b""
    with file.open("rb") as opened:
        return opened.read(size)


def _uri(path: Path, options: str) -> str:
    return f"{path.absolute().as_uri()}?{options}"
