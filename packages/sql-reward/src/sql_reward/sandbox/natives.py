"""The functions of SQLite that no limit of SQLite keeps short, made to look at their arguments first.

printf repeats a character as often as it is told before it looks at any limit, and trim compares each character of
one text with each of the other. What they return is what SQLite returns.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from functools import lru_cache
from typing import Final, Protocol

from sql_reward.verdict import Outcome

SMALL_BYTES: Final = 1_000
"""Values that are not text, given to trim, may be this long."""
_REPEATED_CHARACTER: Final = re.compile(r"%[^%a-zA-Z]*\.([^%a-zA-Z]*)l*c")
"""A printf conversion of a character with a precision, which is how often to write it."""

SqlValue = str | int | float | bytes | None


class Statement(Protocol):
    """What these functions must know of the statement that calls them, and may do to it."""

    longest: int

    def is_overdue(self) -> bool:
        """Whether the statement's time is up."""
        ...

    def stop(self, outcome: Outcome, by: str) -> int:
        """Note why the statement is being ended."""
        ...


def install(connection: sqlite3.Connection, statement: Statement) -> None:
    """Put the checked functions in the place of SQLite's on this connection."""
    helper = lru_cache(maxsize=1)(lambda: sqlite3.connect(":memory:", cached_statements=16))

    def natively(function: str, arguments: tuple[SqlValue, ...]) -> SqlValue:
        helper().setlimit(sqlite3.SQLITE_LIMIT_LENGTH, statement.longest)
        marks = ",".join("?" * len(arguments))
        return helper().execute(f"SELECT {function}({marks})", arguments).fetchone()[0]

    def look(text: SqlValue) -> None:
        if _size(text) > SMALL_BYTES and statement.is_overdue():
            statement.stop(Outcome.TIMEOUT, "the deadline")
            raise ValueError("interrupted")

    def refuse() -> ValueError:
        statement.stop(Outcome.TOO_LARGE, "the limit on the length of a text")
        return ValueError("string or blob too big")

    def printf(*arguments: SqlValue) -> SqlValue:
        if _repeats_beyond(statement.longest, arguments):
            raise refuse()
        result = natively("printf", arguments)
        look(result)
        return result

    def trimmer(name: str) -> Callable[[SqlValue, SqlValue], SqlValue]:
        def trim(text: SqlValue, unwanted: SqlValue) -> SqlValue:
            look(text)
            if isinstance(text, str) and isinstance(unwanted, str):
                characters = frozenset(unwanted.partition("\0")[0])
                return _trimmed(text, characters, left=name != "rtrim", right=name != "ltrim")
            if max(_size(text), _size(unwanted)) > SMALL_BYTES:
                raise refuse()
            return natively(name, (text, unwanted))

        return trim

    for name in ("printf", "format"):
        connection.create_function(name, -1, printf, deterministic=True)
    for name in ("trim", "ltrim", "rtrim"):
        connection.create_function(name, 2, trimmer(name), deterministic=True)


def _repeats_beyond(longest: int, arguments: tuple[SqlValue, ...]) -> bool:
    """Whether a %c conversion repeats its character more often than a text may be long."""
    for precision in _REPEATED_CHARACTER.findall(str(arguments[0]) if arguments else ""):
        counts = arguments[1:] if "*" in precision else re.findall(r"\d+", precision)
        if any(_as_number(count) > longest for count in counts):
            return True
    return False


def _as_number(value: SqlValue) -> float:
    try:
        return abs(float(value or 0))
    except ValueError:
        return 0.0


def _trimmed(text: str, unwanted: frozenset[str], *, left: bool, right: bool) -> str:
    start, end = 0, len(text)
    while left and start < end and text[start] in unwanted:
        start += 1
    while right and start < end and text[end - 1] in unwanted:
        end -= 1
    return text[start:end]


def _size(value: SqlValue) -> int:
    return len(value) if isinstance(value, (str, bytes)) else 0
