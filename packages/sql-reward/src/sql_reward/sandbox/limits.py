"""How much one statement may use: time, rows, bytes. Every unit is in its name."""

from dataclasses import dataclass, fields

from sql_reward.errors import LimitsError


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds for one prediction (all its statements, over all databases of a suite, for the deadline)."""

    deadline_s: float = 5.0
    """Processor seconds of the calling thread. Not wall-clock: a loaded machine must not change a verdict."""
    gold_deadline_s: float = 60.0
    """The same for a gold query on one database; beyond it the gold is an error, not the prediction."""
    stall_factor: float = 20.0
    """A statement that has waited this many deadlines on the wall clock (5 s at least) raises `StalledError`."""
    max_rows: int = 1_000_000
    """Rows of one result."""
    max_bytes: int = 256 * 1024 * 1024
    """Memory of one fetched result, as Python counts it."""
    max_cell_bytes: int = 1_000_000
    """Longest text or blob anywhere in a statement, also in between: it bounds what one instruction can take."""
    max_temp_bytes: int = 128 * 1024 * 1024
    """Size of SQLite's unnamed temporary files, for sorting and grouping (counted on Linux). Giving back the space of a
    file takes time too, after the deadline: about 20 ms for this much."""
    max_sql_bytes: int = 100_000
    """Length of the statement's text, in UTF-8."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not value > 0:
                raise LimitsError(field.name, value, "positive", "leave it out for the default")
