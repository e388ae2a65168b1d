"""What judging one prediction showed. Never a number: see `sql_reward.reward`."""

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """Everything a prediction can do; exactly one of these is a success."""

    MATCH = "match"
    """Same rows as the gold query on every database of the suite."""
    MISMATCH = "mismatch"
    """It ran, and its rows differ from the gold's on some database."""
    NO_SQL = "no_sql"
    """Nothing to run: no text, only blanks, only comments."""
    SQL_ERROR = "sql_error"
    """SQLite refused or failed to run it."""
    FORBIDDEN = "forbidden"
    """It is not one reading statement: it writes, attaches, sets a pragma, calls a denied function, or is several."""
    TIMEOUT = "timeout"
    """Interrupted at the deadline; says nothing about the rows."""
    TOO_LARGE = "too_large"
    """Stopped at a limit on size: the text, a cell, the rows, the bytes, or the memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaOverlap:
    """How much of what the gold query names the prediction names too, each from 0 to 1 (F1 of two sets)."""

    tables: float
    """F1 of the tables read."""
    columns: float
    """F1 of the table.column pairs read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What executing one prediction against its gold query showed."""

    outcome: Outcome
    databases_passed: int = 0
    """Databases of the suite on which the rows agreed, counted up to the first that failed."""
    databases_total: int = 0
    """Databases of the suite."""
    detail: str = ""
    """One short line for a human: the SQLite message, or where the rows first differ. Never the gold query's text."""
    seconds: float = 0.0
    """Processor seconds the prediction took, over all databases: the clock of the deadline."""
    gold_empty: bool = False
    """The gold result is empty on every database that was compared, so a match says little."""
    overlap: SchemaOverlap | None = None
    """Tables and columns shared with the gold query; None unless it was asked for."""

    @property
    def matched(self) -> bool:
        """Whether the prediction answers as the gold query does."""
        return self.outcome is Outcome.MATCH
