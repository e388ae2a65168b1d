"""Tell which statements SQLite could take long to compile, from their text alone.

SQLite writes a subquery's, view's or common table's columns out wherever they are named, before a progress handler is
asked: ten lines of `x + x` become a thousand additions, and each of them is compared with the others. The bound here
is coarse and never too low: a statement below it compiles in a fraction of a second. What is above it may still be
harmless, so `sandbox.trial` compiles it elsewhere first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

MAX_GROWTH: Final = 1_000_000
"""Expressions a statement may have when written out, times the words in it; beyond it the statement is tried first."""
SHORT_CHARS: Final = (800, 800, 300)
"""Texts of this length are harmless if they hold this many times the word SELECT: no, one, two."""
LONG_CHARS: Final = 8_000
"""A longer text is always tried: long lists of constants have no words, and are compared with one another as well."""

_WORD: Final = re.compile(r'[A-Za-z_\x7f-\U0010ffff][\w$\x7f-\U0010ffff]*|["`\[*]')
_RESERVED: Final = """
    all and as between case distinct else exists from group having in is join limit not null on or order select then
    union when where
"""
_NO_NAMES: Final = frozenset(_RESERVED.split())
"""Words that SQLite reserves: unquoted, none of them names a column."""
_GENERATED: Final = re.compile(r"\bas\s*\(", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Stored:
    """What a database's own schema adds to a statement that names it. Names are in lower case."""

    views: Mapping[str, str] = field(default_factory=dict[str, str])
    """The text of each view."""
    generated: frozenset[str] = frozenset()
    """Tables with generated columns, whose growth is not estimated."""

    def __bool__(self) -> bool:
        """Whether the schema adds anything."""
        return bool(self.views or self.generated)

    @classmethod
    def of(cls, schema: Iterable[tuple[str, str, str | None]]) -> Stored:
        """From rows (type, name, sql) of `sqlite_master`."""
        rows = [(kind, name.lower(), sql or "") for kind, name, sql in schema]
        return cls(
            views={name: sql.lower() for kind, name, sql in rows if kind == "view"},
            generated=frozenset(name for kind, name, sql in rows if kind == "table" and _GENERATED.search(sql)),
        )


def may_explode(sql: str, stored: Stored) -> bool:
    """Whether compiling this statement on that database could take long. False is certain, True is not."""
    text = _with_views(sql.lower(), stored.views)
    return any(_is_named(name, text) for name in stored.generated) or grows_too_far(text)


def grows_too_far(text: str) -> bool:
    """Whether compiling this text, in lower case, could take long on a database that adds nothing to it."""
    selects = text.count("select")
    if selects < len(SHORT_CHARS) and len(text) <= SHORT_CHARS[selects]:
        return False
    if len(text) > LONG_CHARS:
        return True
    growth = 1
    words = 0
    for part in text.split("select"):
        names = sum(word not in _NO_NAMES for word in _WORD.findall(part))
        words += names
        growth *= 1 + names
    return growth * words > MAX_GROWTH


def _with_views(text: str, views: Mapping[str, str]) -> str:
    """The statement followed by the views that it names, and those that they name."""
    missing = dict(views)
    while named := [name for name in missing if _is_named(name, text)]:
        text = " ".join((text, *(missing.pop(name) for name in named)))
    return text


def _is_named(name: str, text: str) -> bool:
    return name in text or '"' in name or "`" in name  # such a name is written with its quotes doubled
