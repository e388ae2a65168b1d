"""Read-only connections to SQLite files that are kept and reused, one set per process and thread.

Promises: the file is opened immutable and never written, no other file can be reached, a changed file is opened anew, and a
forked process never uses its parent's connections. What a statement may do is decided here, by authorizer, and how long it
may run, by progress handler.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections import OrderedDict
from contextlib import closing
from pathlib import Path
from time import perf_counter, thread_time
from typing import Final
from urllib.parse import quote

from sql_reward.errors import DatabaseNotFound, DatabaseUnreadable
from sql_reward.functions import ALLOWED_FUNCTIONS
from sql_reward.limits import Limits
from sql_reward.verdict import Outcome

MAX_OPEN: Final = 64
"""Connections kept open per thread; the least recently used one is closed first."""
STEPS_BETWEEN_LOOKS: Final = 250
"""SQLite instructions between two looks at the clock."""
LOOK_S: Final = 0.02
"""Seconds between two looks at what only the system knows: processor time and bytes written."""
HIDDEN_TABLES: Final = frozenset({"sqlite_stmt"})
"""Tables that show other statements of the connection, the gold query among them."""

FileIdentity = tuple[int, int, int, int]
"""Device, inode, size and modification time in nanoseconds: changes whenever the content may have."""


def identify(path: str | Path) -> FileIdentity:
    """Which content this path holds now.

    Raises:
        DatabaseNotFound: there is no such file.
    """
    try:
        found = os.stat(path)  # noqa: PTH116  Path.stat doubles the cost of the most frequent call
    except (OSError, ValueError) as error:
        raise DatabaseNotFound(Path(path)) from error
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


class Session:
    """One connection with its guards. Used by one thread of one process, one statement at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lenient = False
        """Whether text that is not UTF-8 loses its bad bytes instead of failing."""
        self.reads: set[tuple[str, str]] | None = None
        """Collects (table, column) of what is read, when set."""
        self.refused = ""
        """What the authorizer refused in the current statement."""
        self.stopped: Outcome | None = None
        """Why the progress handler interrupted the current statement."""
        self.stalled_s = 0.0
        """Wall-clock seconds after which the current statement was given up without a verdict; 0 if it was not."""
        self._next_look = self._started = self._wall_end = self._cpu_end = 0.0
        self._temp_end = 0
        self.limits = Limits()
        self.connection = _open(path)
        self.connection.set_authorizer(self._authorize)
        self.connection.set_progress_handler(self._look, STEPS_BETWEEN_LOOKS)

    def begin(self, limits: Limits, cpu_end: float) -> None:
        """Arm the guards for one statement that must stop at `cpu_end` on the clock `time.thread_time`."""
        if limits is not self.limits:
            self.connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, limits.max_cell_bytes)
            self.limits = limits
        self.refused = ""
        self.stopped = None
        self._cpu_end = cpu_end
        self._started = perf_counter()
        self._wall_end = self._started + max(5.0, limits.stall_factor * limits.deadline_s)
        self._temp_end = -1
        self._next_look = self._started + max(0.0, min(LOOK_S, cpu_end - thread_time()))

    def _look(self) -> int:
        now = perf_counter()
        if now < self._next_look:
            return 0
        used = thread_time()
        if used >= self._cpu_end:
            self.stopped = Outcome.TIMEOUT
        elif now >= self._wall_end:
            self.stalled_s = now - self._started
        elif self._wrote_too_much():
            self.stopped = Outcome.TOO_LARGE
        else:
            self._next_look = now + min(LOOK_S, self._cpu_end - used)
            return 0
        return 1

    def _wrote_too_much(self) -> bool:
        written = _bytes_written()
        if self._temp_end < 0:
            self._temp_end = written + self.limits.max_temp_bytes
        return written > self._temp_end

    def _authorize(self, action: int, first: str | None, second: str | None, _db: str | None, _by: str | None) -> int:
        if action == sqlite3.SQLITE_READ:
            if first in HIDDEN_TABLES:
                return self._refuse(f"reading {first}")
            if self.reads is not None and first and second:
                self.reads.add((first.lower(), second.lower()))
            return sqlite3.SQLITE_OK
        if action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE):
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_FUNCTION:
            if (second or "").lower() in ALLOWED_FUNCTIONS:
                return sqlite3.SQLITE_OK
            return self._refuse(f"the function {second}")
        return self._refuse(_ACTIONS.get(action, f"action {action}"))

    def _refuse(self, what: str) -> int:
        self.refused = self.refused or what
        return sqlite3.SQLITE_DENY


_ACTIONS: Final = {
    getattr(sqlite3, f"SQLITE_{name}"): name.replace("_", " ")
    for name in (
        "CREATE_INDEX CREATE_TABLE CREATE_TEMP_INDEX CREATE_TEMP_TABLE CREATE_TEMP_TRIGGER CREATE_TEMP_VIEW "
        "CREATE_TRIGGER CREATE_VIEW DELETE DROP_INDEX DROP_TABLE DROP_TEMP_INDEX DROP_TEMP_TABLE DROP_TEMP_TRIGGER "
        "DROP_TEMP_VIEW DROP_TRIGGER DROP_VIEW INSERT PRAGMA TRANSACTION UPDATE ATTACH DETACH ALTER_TABLE REINDEX "
        "ANALYZE CREATE_VTABLE DROP_VTABLE SAVEPOINT"
    ).split()
}


class _Sessions(threading.local):
    """The sessions of one thread, most recently used last."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.by_path: OrderedDict[str, tuple[FileIdentity, Session]] = OrderedDict()


_sessions = _Sessions()
_inherited: list[object] = []
"""Connections of a parent process: closing them here could disturb it, so they are only kept from the collector."""


def session_for(path: Path, identity: FileIdentity) -> Session:
    """The session of this thread for this content of `path`; opens one when needed.

    Raises:
        DatabaseUnreadable: the file is not a database, is locked, or has changes that were never merged into it.
    """
    if _sessions.process != os.getpid():
        _inherited.append(_sessions.by_path)
        _sessions.by_path = OrderedDict()
        _sessions.process = os.getpid()
    known = _sessions.by_path
    key = str(path)
    entry = known.get(key)
    if entry is not None and entry[0] == identity:
        known.move_to_end(key)
        return entry[1]
    if entry is not None:
        entry[1].connection.close()
    session = Session(path)
    known[key] = (identity, session)
    while len(known) > MAX_OPEN:
        known.popitem(last=False)[1][1].connection.close()
    return session


def _uri(path: Path, options: str) -> str:
    return f"file:{quote(os.fsencode(path.absolute()))}?{options}"


def _open(path: Path) -> sqlite3.Connection:
    try:
        _refuse_unfinished(path)
        connection = sqlite3.connect(
            _uri(path, "mode=ro&immutable=1"), uri=True, isolation_level=None, cached_statements=0
        )
    except sqlite3.Error as error:
        raise DatabaseUnreadable(path, str(error)) from error
    try:
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA query_only = ON")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        connection.setlimit(sqlite3.SQLITE_LIMIT_WORKER_THREADS, 0)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, Limits().max_cell_bytes)
    except sqlite3.Error as error:
        connection.close()
        raise DatabaseUnreadable(path, str(error)) from error
    return connection


def _refuse_unfinished(path: Path) -> None:
    """Refuse a file that is being written, or that needs a log or a journal beside it to be whole.

    An immutable connection sees neither locks nor logs, so it would read such a file without complaint, and wrongly.
    """
    with path.open("rb") as file:
        header = file.read(20)
    if len(header) >= 20 and header[18] == 2:  # the file is in write-ahead mode: another opener would create files
        log = path.with_name(path.name + "-wal")
        if log.exists() and log.stat().st_size > 32:
            raise DatabaseUnreadable(path, f"{log.name!r} holds changes not merged into it; close the program that writes it")
        return
    with closing(sqlite3.connect(_uri(path, "mode=ro"), uri=True, timeout=0.0)) as probe:
        probe.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()


def _bytes_written() -> int:
    """Bytes this thread has written in its life, 0 where the system does not tell."""
    try:
        with open("/proc/thread-self/io", "rb") as file:  # noqa: PTH123  read many times a second
            return int(file.read().split(b"\n", 2)[1].split()[1])
    except (OSError, IndexError, ValueError):
        return 0
