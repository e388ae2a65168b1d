"""Look into a SQLite file without the power to change it.

Connections are read-only, trust nothing that the file's schema defines, and stop at a deadline. Judging
predictions is not done here: this reads files that a user brings, and runs golds.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

from spider_data.errors import DatabaseUnreadableError

_STEPS = 10_000
"""SQLite counts virtual-machine steps, so the clock is read every so many of them."""


@contextmanager
def open_readonly(path: Path, *, deadline_s: float = 60.0) -> Generator[sqlite3.Connection]:
    """A read-only connection; any statement still running `deadline_s` seconds after opening is interrupted.

    Raises:
        DatabaseUnreadableError: the file is missing, is no database, or cannot be opened.
    """
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    except sqlite3.Error as error:
        raise _unreadable(path, error) from error
    with closing(connection):
        ends = time.monotonic() + deadline_s
        connection.set_progress_handler(lambda: time.monotonic() > ends, _STEPS)
        try:
            connection.execute("PRAGMA query_only = ON")
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.Error as error:
            raise _unreadable(path, error) from error
        connection.text_factory = _text
        yield connection


def tables_of(connection: sqlite3.Connection) -> list[str]:
    """Names of the ordinary tables, in the order of their creation."""
    rows = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
    )
    return [str(name) for (name,) in rows]


def is_empty(connection: sqlite3.Connection) -> bool:
    """Whether no table has a row (or there is no table)."""
    return not any(
        connection.execute(f"SELECT 1 FROM {quoted(name)} LIMIT 1").fetchone() for name in tables_of(connection)
    )


def failure_of(path: Path, sql: str, *, deadline_s: float) -> tuple[str, int]:
    """Why a gold query cannot be used, the empty text if it can, and how many rows it gives.

    The query must be one statement that only reads; it is run to its end or to the deadline.

    Raises:
        DatabaseUnreadableError: the fault is the file's, not the query's.
    """
    with open_readonly(path, deadline_s=deadline_s) as connection:
        connection.set_authorizer(_only_reads)
        try:
            cursor = connection.execute(sql)
            if cursor.description is None:
                return "the statement gives no rows; expected a SELECT", 0
            return "", sum(1 for _ in cursor)
        except (sqlite3.Error, sqlite3.Warning) as error:  # several statements are a Warning in Python 3.11
            if getattr(error, "sqlite_errorname", "") == "SQLITE_INTERRUPT":
                return f"still running after {deadline_s:g} s", 0
            if getattr(error, "sqlite_errorname", "") == "SQLITE_AUTH":
                return "it does more than read; expected one SELECT", 0
            return str(error), 0


def damage(connection: sqlite3.Connection) -> str:
    """What SQLite's own quick check finds first; the empty text when it finds nothing."""
    try:
        (first,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        return str(error)
    return "" if first == "ok" else str(first)


def quoted(name: str) -> str:
    """An identifier as SQL text."""
    return '"' + name.replace('"', '""') + '"'


def _only_reads(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    if action == sqlite3.SQLITE_FUNCTION:
        return sqlite3.SQLITE_DENY if second == "load_extension" else sqlite3.SQLITE_OK
    reads = (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE)
    return sqlite3.SQLITE_OK if action in reads else sqlite3.SQLITE_DENY


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")


def _unreadable(path: Path, error: sqlite3.Error) -> DatabaseUnreadableError:
    return DatabaseUnreadableError(
        f"{str(path)!r} cannot be read as a SQLite database ({error}); replace the file", path=path
    )
