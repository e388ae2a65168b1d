"""Read-only connections to SQLite files that are kept and reused, one set per process and thread.

Promises: the file is opened immutable and never written, a changed file is opened anew, a file that is damaged,
locked or half written is an error that names it, and a forked process never uses its parent's connections.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections import OrderedDict
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from sql_reward.errors import DatabaseNotFoundError, DatabaseUnreadableError
from sql_reward.sandbox.guard import Guard

MAX_OPEN: Final = 256
"""Connections that the threads of one process keep open together; a thread closes its own least recently used ones."""
MAX_HEAP_BYTES: Final = 256 * 1024 * 1024
"""What SQLite may allocate in this process, all its connections together. SQLite lets a process lower this, never
raise it."""

JOURNAL_START: Final = bytes.fromhex("d9d505f920a163d7")
"""How a rollback journal begins; another file of that name is none (https://sqlite.org/fileformat2.html#the_rollback_journal)."""

FileIdentity = tuple[int, int, int, int]
"""Device, inode, size and modification time in nanoseconds: changes whenever the content may have."""


def identify(path: str | Path) -> FileIdentity:
    """Which content this path holds now.

    Raises:
        DatabaseNotFoundError: there is no such file.
    """
    try:
        found = os.stat(path)  # noqa: PTH116  Path.stat doubles the cost of the most frequent call
    except (OSError, ValueError) as error:
        raise DatabaseNotFoundError(Path(path)) from error
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


@dataclass(slots=True, kw_only=True, eq=False, weakref_slot=True)
class Session:
    """An open database with its guard. Belongs to one thread of one process."""

    path: Path
    identity: FileIdentity
    connection: sqlite3.Connection
    guard: Guard
    lenient: bool = False
    """Whether text that is not UTF-8 loses its bad bytes instead of failing."""


class _Sessions(threading.local):
    """The sessions of one thread by path, most recently used last."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.by_path: OrderedDict[str, Session] = OrderedDict()


_sessions = _Sessions()
_everywhere: weakref.WeakSet[Session] = weakref.WeakSet()
"""The sessions of all threads; those of a thread that ended leave by themselves."""
_inherited: list[object] = []
"""A parent process' connections: closing them here could disturb it, so they are only kept from the collector."""


def session_for(path: Path, identity: FileIdentity) -> Session:
    """The session of this thread for this content of `path`; opens one when needed.

    Raises:
        DatabaseUnreadableError: the file is not a database, is locked, or has changes that were never merged into it.
    """
    if _sessions.process != os.getpid():
        _inherited.append(_sessions.by_path)
        _everywhere.clear()
        _sessions.by_path = OrderedDict()
        _sessions.process = os.getpid()
    sessions = _sessions.by_path
    key = str(path)
    session = sessions.get(key)
    if session is not None and session.identity == identity:
        sessions.move_to_end(key)
        return session
    if session is not None:
        _close(sessions.pop(key))
    connection = _open(path)
    sessions[key] = session = Session(path=path, identity=identity, connection=connection, guard=Guard(connection))
    _everywhere.add(session)
    while len(_everywhere) > MAX_OPEN and len(sessions) > 1:
        _close(sessions.popitem(last=False)[1])
    return session


def _close(session: Session) -> None:
    _everywhere.discard(session)
    session.connection.close()


def _open(path: Path) -> sqlite3.Connection:
    try:
        _refuse_unfinished(path)
        connection = sqlite3.connect(
            _uri(path, "mode=ro&immutable=1"), uri=True, isolation_level=None, cached_statements=0
        )
        try:
            _prepare(connection)
        except BaseException:
            connection.close()
            raise
    except FileNotFoundError as error:
        raise DatabaseNotFoundError(path) from error
    except (sqlite3.Error, OSError) as error:
        raise DatabaseUnreadableError(
            path, f"{error}; expected a whole SQLite database that nobody is writing"
        ) from error
    return connection


def _prepare(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA query_only = ON")
    heap_bytes = connection.execute("PRAGMA hard_heap_limit").fetchone()[0]
    if not 0 < heap_bytes <= MAX_HEAP_BYTES:
        connection.execute(f"PRAGMA hard_heap_limit = {MAX_HEAP_BYTES}")
    connection.execute("SELECT count(*) FROM sqlite_master").fetchall()  # reads the schema: a damaged one shows here


def _refuse_unfinished(path: Path) -> None:
    """Refuse a file that is being written, or that needs a log or a journal beside it to be whole.

    An immutable connection sees neither locks nor logs, so it would read such a file without complaint, and wrongly.
    """
    with path.open("rb") as file:
        header = file.read(20)
    if len(header) == 20 and header[18] == 2:  # in write-ahead mode, another way of opening it would create files
        log = path.with_name(path.name + "-wal")
        if log.exists() and log.stat().st_size > 32:
            raise DatabaseUnreadableError(
                path, f"{log.name!r} holds changes not merged into it; close the program writing it"
            )
        return
    try:
        with closing(sqlite3.connect(_uri(path, "mode=ro"), uri=True, timeout=0.0)) as probe:
            probe.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_READONLY:
            raise
        journal = path.with_name(path.name + "-journal")  # a read-only opener may not roll it back
        with journal.open("rb") as file:
            if file.read(len(JOURNAL_START)) == JOURNAL_START:
                reason = (
                    f"{journal.name!r} undoes a write that broke off; open the database once with SQLite to undo it"
                )
                raise DatabaseUnreadableError(path, reason) from error


def _uri(path: Path, options: str) -> str:
    return f"file:{quote(os.fsencode(path.absolute()))}?{options}"
