"""The text values of a database, for finding how it spells what a query looked for in vain.

Built when a filter first finds nothing, within `BUILD_S` seconds and `MAX_VALUES` values, and kept with the schema. It
reads through the same guards as a model's queries. What it does not hold may still be stored, so nobody may conclude
from it that a value is missing.
"""

from __future__ import annotations

import logging
import time
from array import array
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from sql_graph.databases.base import Fault
from sql_graph.databases.limits import DatabaseLimits

if TYPE_CHECKING:
    from sql_graph.databases.base import Backend
    from sql_graph.databases.schema import Schema

BUILD_S = 1.5
"""Seconds after which no further column is read; a slow server's later columns are then not indexed."""
MAX_VALUES = 40_000
"""Distinct values of the whole index; with their trigrams they take some 30 MB."""
MAX_COLUMN_VALUES = 5_000
MAX_CHARS = 60
"""A longer value is a text, not a name that somebody asks for."""
COMPARED = 40
"""Values of the most trigrams in common that are compared letter by letter."""
MIN_LIKENESS = 0.55
"""`SequenceMatcher.ratio` from which a value counts as near; containing the other counts as near too."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredValue:
    """A text value and the column that it stands in."""

    table: str
    column: str
    value: str


class ValueIndex:
    """Distinct text values by column, found by likeness. Never changes once made."""

    def __init__(self, values: Sequence[StoredValue]) -> None:
        self._values = list(values)
        self._folded = [value.value.casefold() for value in self._values]
        self._with: dict[str, array[int]] = defaultdict(lambda: array("I"))
        for i, folded in enumerate(self._folded):
            for gram in _grams(folded):
                self._with[gram].append(i)

    def __len__(self) -> int:
        return len(self._values)

    def near(self, text: str, *, table: str = "", column: str = "", most: int = 3) -> list[StoredValue]:
        """Stored values like `text`, the likest first, at most `most`; of one column where `column` is given.

        A value equal but for case is likest of all. Values equal in every letter are found too.
        """
        asked = text.casefold().strip()
        common: Counter[int] = Counter()
        for gram in _grams(asked):
            common.update(self._with.get(gram, ()))
        if column:
            wanted = (table.casefold(), column.casefold())
            common = Counter({i: n for i, n in common.items() if self._place(i) == wanted})
        scored = [(self._likeness(i, asked), -i) for i, _ in common.most_common(COMPARED)]
        best = sorted((score, i) for score, i in scored if score >= MIN_LIKENESS)
        return [self._values[-i] for _, i in reversed(best[-most:])]

    def _place(self, i: int) -> tuple[str, str]:
        return self._values[i].table.casefold(), self._values[i].column.casefold()

    def _likeness(self, i: int, asked: str) -> float:
        stored = self._folded[i]
        if stored == asked:
            return 2.0
        ratio = SequenceMatcher(None, asked, stored, autojunk=False).ratio()
        short, long = sorted((asked, stored), key=len)
        return max(ratio, MIN_LIKENESS + 0.1) if len(short) >= 3 and short in long else ratio


def build_value_index(backend: Backend, schema: Schema) -> ValueIndex:
    """The index of a database's text columns, tables in the schema's order, within the bounds above.

    Raises:
        DatabaseError: the database cannot be used.
    """
    ends_at = time.monotonic() + BUILD_S
    values: list[StoredValue] = []
    for table in schema.tables:
        for column in (column for column in table.columns if column.is_text):
            left_s = ends_at - time.monotonic()
            room = min(MAX_COLUMN_VALUES, MAX_VALUES - len(values))
            if left_s <= 0 or room <= 0:
                _log.info("the value index ends before %s.%s", table.name, column.name)
                return ValueIndex(values)
            name, owner = schema.spell(column.name), schema.spell(table.name)
            fetched = backend.fetch(
                f"SELECT DISTINCT {name} FROM {owner}",
                limits=DatabaseLimits(deadline_s=max(left_s, 0.05), max_rows=room, max_bytes=4_000_000),
            )
            if isinstance(fetched, Fault):
                _log.info("no values of %s.%s: %s", table.name, column.name, fetched.message)
                continue
            values += (
                StoredValue(table=table.name, column=column.name, value=value)
                for (value,) in fetched.rows
                if isinstance(value, str) and value.strip() and len(value) <= MAX_CHARS
            )
    return ValueIndex(values)


def _grams(text: str) -> set[str]:
    """The trigrams of a text with blanks at its ends, so that short texts and beginnings have some."""
    padded = f" {text} "
    return {padded[i : i + 3] for i in range(max(1, len(padded) - 2))}
