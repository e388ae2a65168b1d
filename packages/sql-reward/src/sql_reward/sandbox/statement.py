"""What the text of a statement alone tells: whether it may run at all, and what running it has to look out for.

Pure: knows no database. A gold query is read once and kept; a prediction is read when it is judged, so the ordinary
text is recognized by a few searches for words.
"""

from __future__ import annotations

import re
from typing import Final

from sql_reward.sandbox.expansion import expands_too_far
from sql_reward.sandbox.growth import SHORT_CHARS, grows_too_far
from sql_reward.verdict import Outcome

FEW_CHARS: Final = 100
"""A text of this length cannot join so many texts with || that it matters."""
PLAIN_CHARS: Final = 2_000
"""From this length on a statement may hold so many calls that the texts in it must be shorter."""
FEW_SELECTS: Final = len(SHORT_CHARS) - 1
"""A text with no more SELECTs than this is harmless if it is short."""
_COMPUTED_TABLE: Final = re.compile(r"jsonb?_(?:each|tree)|generate_series|pragma_")
_NOT_RUN: Final = re.compile(r"(?>\s+|--[^\n]*|/\*(?>.*?\*/)|;)*+(EXPLAIN|PRAGMA)\b", re.IGNORECASE | re.DOTALL)


class Statement:
    """One SQL text that was read."""

    __slots__ = ("calls", "is_plain", "lowered", "names_computed_tables", "refused", "sql", "suspicious")

    def __init__(self, sql: str, *, max_bytes: int) -> None:
        self.sql = sql
        self.lowered = ""
        """The text in lower case."""
        self.calls = 0
        """Places where it joins texts with ||: each counts like a call of a function."""
        self.is_plain = len(sql) < PLAIN_CHARS
        """Whether the guard has nothing to prepare for it: it is not long, joins few texts, names no computed table."""
        self.suspicious = self.names_computed_tables = False
        """Whether compiling it could take long, and whether it may name a table that SQLite computes."""
        self.refused: tuple[Outcome, str] | None = None
        """Why it may not run, whatever the database."""
        if 4 * len(sql) > max_bytes and is_too_long(sql, max_bytes):
            self.refused = (Outcome.TOO_LARGE, f"the statement is longer than {max_bytes} bytes")
            return
        self.lowered = lowered = sql.lower()
        if "with" in lowered and expands_too_far(sql):
            self.refused = (Outcome.TOO_LARGE, "its common table expressions multiply beyond the limit")
        elif not lowered.startswith("select") and (word := _NOT_RUN.match(sql)):
            self.refused = (Outcome.FORBIDDEN, f"not allowed: {word[1].upper()}")
        if len(sql) > FEW_CHARS:
            self.calls = sql.count("||")
            self.is_plain = self.is_plain and not self.calls
        if len(lowered) > SHORT_CHARS[FEW_SELECTS] or lowered.count("select") > FEW_SELECTS:
            self.suspicious = grows_too_far(lowered)
        if "json" in lowered or "generate_series" in lowered or "pragma_" in lowered:
            self.names_computed_tables = names_computed_tables(lowered)
            self.is_plain = self.is_plain and not self.names_computed_tables


def is_too_long(sql: str, max_bytes: int) -> bool:
    """Whether the text has more bytes than this in UTF-8; a lone surrogate counts as one byte."""
    return len(sql) > max_bytes or len(sql.encode(errors="replace")) > max_bytes


def names_computed_tables(lowered: str) -> bool:
    """Whether a text in lower case may name a table that SQLite computes, such as json_each."""
    return _COMPUTED_TABLE.search(lowered) is not None
