"""A SQLite handle that can only read, and that a deadline can always stop.

An authorizer allows reading tables and calling functions on a list, nothing else: no write, ATTACH, PRAGMA, transaction
or extension. A progress handler ends a statement at its deadline. It runs between instructions of SQLite's virtual
machine, so no single instruction may take long: values are kept short, and functions whose time grows faster than
their arguments get short arguments or are refused.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
import time
from collections.abc import Callable
from typing import Any

from sql_graph.databases.sqlite_functions import (
    ALLOWED_FUNCTIONS,
    MAX_PATTERN_BYTES,
    OWN_PRAGMAS,
    READING_PRAGMAS,
    TABLE_FUNCTIONS,
    VIRTUAL_MODULES,
)

MAX_VALUE_BYTES = 1_000_000
"""The longest string, blob or row; making one is a single instruction."""
MAX_SEARCHED_BYTES = 100_000
"""The same for statements with functions whose time is a product of two lengths."""
MAX_TRIM_WORK = 10_000_000
MAX_PRINTF_WIDTH = 100_000
INSTRUCTIONS_PER_CHECK = 200
INSTRUCTIONS_PER_CHECK_WHEN_SEARCHING = 10
_SEARCHES = re.compile(r"instr|replace|json_patch", re.IGNORECASE)
_READING = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE})
_ACTIONS = {
    getattr(sqlite3, f"SQLITE_{name.replace(' ', '_')}"): name
    for name in (
        "INSERT", "UPDATE", "DELETE", "PRAGMA", "ATTACH", "DETACH", "TRANSACTION", "SAVEPOINT", "REINDEX", "ANALYZE",
        "CREATE TABLE", "CREATE TEMP TABLE", "CREATE VIEW", "CREATE INDEX", "CREATE TRIGGER", "CREATE VTABLE",
        "DROP TABLE", "DROP VIEW", "DROP INDEX", "DROP TRIGGER", "ALTER TABLE",
    )
}  # fmt: skip
_MODULE = re.compile(r"\s*CREATE\s+VIRTUAL\s+TABLE\b.*?\bUSING\s+[\"'`\[]?(\w+)", re.IGNORECASE | re.DOTALL)
_CONVERSION = re.compile(r"%[-+ 0#!,]*(?P<width>\d+|\*)?(?:\.(?P<precision>\d+|\*))?l{0,2}(?P<kind>.)?", re.DOTALL)


class GuardedConnection:
    """A read-only handle with its guard. For one thread at a time."""

    def __init__(self, handle: sqlite3.Connection) -> None:
        self.handle = handle
        # The handle's callbacks hold the guard, so the guard must not hold the handle: Python could never free either.
        self.guard = guard = Guard()
        handle.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        handle.setlimit(sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, MAX_PATTERN_BYTES)
        for name in ("printf", "format"):
            handle.create_function(name, -1, guard.printf, deterministic=True)
        for name in ("trim", "ltrim", "rtrim"):
            handle.create_function(name, 2, guard.trim(name), deterministic=True)
        _load_virtual_tables(handle)
        handle.set_authorizer(guard.authorize)

    def arm(self, sql: str, *, deadline_s: float) -> None:
        """Set the deadline and the limits of the next statement."""
        self.guard.arm(deadline_s)
        searching = _SEARCHES.search(sql) is not None
        self.handle.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_SEARCHED_BYTES if searching else MAX_VALUE_BYTES)
        self.handle.set_progress_handler(
            self.guard.is_late, INSTRUCTIONS_PER_CHECK_WHEN_SEARCHING if searching else INSTRUCTIONS_PER_CHECK
        )

    def close(self) -> None:
        """Close the handle."""
        self.handle.close()
        self.guard.close()


class Guard:
    """The callbacks of a handle, and what they have noticed of the running statement."""

    def __init__(self) -> None:
        self.denied = ""
        """The forbidden action that the statement tried; empty where it tried none."""
        self.late = False
        self.too_large = False
        self._ends_at = 0.0
        self._built_in: sqlite3.Connection | None = None

    def arm(self, deadline_s: float) -> None:
        """Forget the last statement, and let the next one run this long."""
        self.denied, self.late, self.too_large = "", False, False
        self._ends_at = time.monotonic() + deadline_s

    def is_late(self) -> bool:
        """Whether the statement has to stop."""
        self.late = self.late or time.monotonic() > self._ends_at
        return self.late

    def authorize(self, action: int, first: str | None, second: str | None, *_: str | None) -> int:
        """Whether a statement may do this; called while it is planned."""
        if self.is_late():  # planning, too, can take long, and has no other moment to stop
            return sqlite3.SQLITE_DENY
        if action == sqlite3.SQLITE_FUNCTION and str(second).lower() not in ALLOWED_FUNCTIONS:
            self.denied = self.denied or f"the function {second}"
            return sqlite3.SQLITE_DENY
        if action in _READING:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_PRAGMA and (first in READING_PRAGMAS or (first in OWN_PRAGMAS and not second)):
            return sqlite3.SQLITE_OK
        self.denied = self.denied or _ACTIONS.get(action, "this statement")
        return sqlite3.SQLITE_DENY

    def printf(self, *arguments: Any) -> Any:
        """SQLite's own `printf`, for small widths only: it builds a padded string of any width in one instruction."""
        if arguments and _widest(arguments) > MAX_PRINTF_WIDTH:
            raise self._too_large()
        return self._ask_built_in("printf", arguments)

    def trim(self, name: str) -> Callable[[Any, Any], Any]:
        """SQLite's own trim function of this name, refused where the product of both lengths is large."""

        def trim(text: Any, characters: Any) -> Any:
            if len(str(text)) * len(str(characters)) > MAX_TRIM_WORK:
                raise self._too_large()
            return self._ask_built_in(name, (text, characters))

        return trim

    def close(self) -> None:
        """Close what the guard has opened."""
        if self._built_in is not None:
            self._built_in.close()

    def _ask_built_in(self, name: str, arguments: tuple[Any, ...]) -> Any:
        if self._built_in is None:
            self._built_in = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        marks = ", ".join("?" * len(arguments))
        return self._built_in.execute(f"SELECT {name}({marks})", arguments).fetchone()[0]

    def _too_large(self) -> ValueError:
        self.too_large = True
        return ValueError("a value would be too large")


def _widest(arguments: tuple[Any, ...]) -> int:
    """The largest width or precision that a call of printf asks for, `*` taken from its arguments."""
    values = iter(arguments[1:])
    widest = 0
    for conversion in _CONVERSION.finditer(str(arguments[0])):
        for given in (conversion["width"], conversion["precision"]):
            if given:
                widest = max(widest, abs(_as_int(next(values, 0) if given == "*" else given)))
        if conversion["kind"] not in ("%", "n", None):
            next(values, None)
    return widest


def _as_int(value: Any) -> int:
    try:
        return int(float(value))
    except (TypeError, ValueError, OverflowError):
        found = re.match(r"\s*[+-]?\d+", value) if isinstance(value, str) else None
        return int(found.group()) if found else MAX_PRINTF_WIDTH + 1 if isinstance(value, float | bytes) else 0


def _load_virtual_tables(handle: sqlite3.Connection) -> None:
    """Declare virtual tables while that is still allowed: declaring one looks like a write to the authorizer."""
    stored = handle.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall()
    modules = [(str(name), _MODULE.match(str(sql))) for name, sql in stored]
    names = [
        '"{}"'.format(name.replace('"', '""'))
        for name, module in modules
        if module is not None and module[1].lower() in VIRTUAL_MODULES
    ]
    for source in (*TABLE_FUNCTIONS, *names):
        with contextlib.suppress(sqlite3.Error):  # not in this build of SQLite: then it cannot be queried either
            handle.execute(f"SELECT 1 FROM {source} LIMIT 0").close()
