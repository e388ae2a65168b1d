"""Take rows from a cursor until a limit is reached."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sql_graph.databases.base import Fault, Fetched
from sql_graph.ports import ObservationStatus

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sql_graph.databases.limits import DatabaseLimits

_FIXED_CELL_BYTES = 8


def collect(columns: tuple[str, ...], rows: Iterable[tuple[Any, ...]], limits: DatabaseLimits) -> Fetched | Fault:
    """The first rows within `max_rows` and `max_bytes`; TOO_LARGE if not even one row is."""
    kept: list[tuple[Any, ...]] = []
    size = 0
    for row in rows:
        if len(kept) == limits.max_rows:
            return Fetched(columns=columns, rows=kept, more=True)
        size += sum(len(cell) if isinstance(cell, str | bytes) else _FIXED_CELL_BYTES for cell in row)
        if size > limits.max_bytes:
            if kept:
                return Fetched(columns=columns, rows=kept, more=True)
            return too_large(limits)
        kept.append(tuple(row))
    return Fetched(columns=columns, rows=kept, more=False)


def too_large(limits: DatabaseLimits) -> Fault:
    """The fault of a result whose first row is already beyond `max_bytes`."""
    return Fault(status=ObservationStatus.TOO_LARGE, message=f"one row is larger than {limits.max_bytes} bytes")
