"""The bounds that every query of a model runs within."""

from __future__ import annotations

from dataclasses import dataclass

from sql_graph.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseLimits:
    """How long a query may run, how much of its result is fetched, and how much of that the model is shown.

    Raises:
        UsageError: a limit is not positive.
    """

    deadline_s: float = 5.0
    """Wall-clock seconds a query may take. `SqlDatabase.run` returns at most half a second later."""
    max_rows: int = 10_000
    """Rows fetched before fetching stops; the result then says "more than"."""
    max_bytes: int = 4 * 1024 * 1024
    """Bytes of text fetched before fetching stops. One value beyond it makes the result `TOO_LARGE`."""
    shown_rows: int = 20
    """Rows of the result written into the observation."""
    max_cell_chars: int = 80
    """Characters of one cell written into the observation; longer cells are cut with `…`."""
    max_text_chars: int = 6_000
    """Characters of the whole table in the observation; rows that do not fit are left out."""

    def __post_init__(self) -> None:
        for name in ("deadline_s", "max_rows", "max_bytes", "shown_rows", "max_cell_chars", "max_text_chars"):
            value = getattr(self, name)
            if not value > 0:
                raise UsageError(f"{name} must be greater than 0, got {value!r}", argument=name)
