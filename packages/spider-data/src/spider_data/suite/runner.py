"""Run a gold query or a mutant on one database and compare their rows. For counting only, never for rewards.

The statements come from gold queries, so this module does not protect against hostile SQL. It only limits the work, in
steps of SQLite instead of seconds, so that the same seed gives the same suite on a busy machine.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum

from spider_data.readonly import is_interrupt

Row = tuple[object, ...]
_STEP = 5_000


class Stop(StrEnum):
    """Why a statement gave no rows to compare."""

    ERROR = "error"
    TOO_LONG = "too long"


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows with floats rounded to ten digits, as a list and as a bag."""

    rows: list[Row]
    bag: Counter[Row]


class Runner:
    """One connection with a limit on the work of a statement."""

    def __init__(self, connection: sqlite3.Connection, *, max_steps: int) -> None:
        self.connection = connection
        self.spent = 0
        """Steps used so far by all statements."""
        self._left = 0
        self._max = max_steps
        connection.set_progress_handler(self._tick, _STEP)

    def gold(self, sql: str) -> Answer | Stop:
        """All rows of a gold query, up to 20,000."""
        rows = self._fetch(sql, 20_000)
        return rows if isinstance(rows, Stop) else Answer(rows=rows, bag=Counter(rows))

    def refutes(self, gold: Answer, mutant: str, *, ordered: bool) -> bool | Stop:
        """Whether a mutant's rows differ from the gold query's, as a bag or, if `ordered`, in sequence."""
        rows = self._fetch(mutant, len(gold.rows) + 1)
        if isinstance(rows, Stop):
            return rows
        if len(rows) != len(gold.rows):
            return True
        if ordered:
            return rows != gold.rows
        return rows != gold.rows and Counter(rows) != gold.bag

    def _fetch(self, sql: str, most: int) -> list[Row] | Stop:
        self._left = self._max
        try:
            rows = self.connection.execute(sql).fetchmany(most)
        except (sqlite3.Error, sqlite3.Warning, ValueError) as error:  # two statements; a zero byte in the text
            if not is_interrupt(error):
                return Stop.ERROR
            if self._left > 0:
                raise KeyboardInterrupt from error  # SQLite reports Ctrl-C in the progress handler as this error
            return Stop.TOO_LONG
        return [_rounded(row) if any(type(cell) is float for cell in row) else row for row in rows]

    def _tick(self) -> int:
        self._left -= _STEP
        self.spent += _STEP
        return 1 if self._left <= 0 else 0


def _rounded(row: Row) -> Row:
    """Round, because sums of the same floats in another order differ in their last digits."""
    return tuple(float(f"{cell:.10g}") if isinstance(cell, float) else cell for cell in row)
