"""Turn the result of a query into a short text for the model.

A table is a header line, one line a row with ` | ` between cells, and a line with the row count. A failure is one
line: its kind and the database's own words, without addresses, statements or library boilerplate.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sql_graph.agent.shown import inert, on_one_line
from sql_graph.databases.base import Fault, Fetched
from sql_graph.ports import Observation, ObservationStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from sql_graph.databases.limits import DatabaseLimits

SHOWN_BLOB_BYTES = 8
MAX_ERROR_CHARS = 300
_KINDS = {
    ObservationStatus.ERROR: "Error",
    ObservationStatus.REFUSED: "Refused",
    ObservationStatus.TIMEOUT: "Timeout",
    ObservationStatus.TOO_LARGE: "Too large",
}
_ADDRESS = re.compile(r"\b[\w+.-]+://\S+")


def observe(outcome: Fetched | Fault, *, limits: DatabaseLimits, seconds: float) -> Observation:
    """The observation of one execution that took `seconds`."""
    if isinstance(outcome, Fault):
        text = f"{_KINDS[outcome.status]}: {error_text(outcome.message)}"
        return Observation(status=outcome.status, text=text, seconds=seconds)
    lines, cut = _table_lines(outcome, limits)
    shown, total = len(lines) - 1, len(outcome.rows)
    return Observation(
        status=ObservationStatus.ROWS if outcome.rows else ObservationStatus.EMPTY,
        text="\n".join([*lines, _count_text(total, shown=shown, more=outcome.more)]),
        columns=outcome.columns,
        row_count=total,
        truncated=outcome.more or cut or shown < total,
        seconds=seconds,
        rows=_typed(outcome),
        more=outcome.more,
    )


def cell_text(value: object, *, max_chars: int) -> str:
    """One value on one line of at most `max_chars` characters: NULL, text as it is, blobs as `x'…'`."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes | bytearray):
        raw = bytes(value)
        return f"x'{raw[:SHOWN_BLOB_BYTES].hex()}{'…' if len(raw) > SHOWN_BLOB_BYTES else ''}'"
    text = value if isinstance(value, str) else str(value)
    text = inert(on_one_line(text[: max_chars + 1]))
    return text if len(text) <= max_chars else f"{text[: max_chars - 1]}…"


def error_text(message: str) -> str:
    """The part of a database's message that helps to correct a query, on one line."""
    lines = [line.strip() for line in _ADDRESS.sub("(address)", message).splitlines()]
    text = inert(on_one_line("; ".join(line for line in lines if line))) or "the database gave no reason"
    return text if len(text) <= MAX_ERROR_CHARS else f"{text[: MAX_ERROR_CHARS - 1]}…"


def _typed(fetched: Fetched) -> tuple[tuple[Any, ...], ...]:
    """The rows, with the numbers that a server wrote as text read."""
    if not any(fetched.readers):
        return tuple(fetched.rows)
    return tuple(tuple(map(_read, fetched.readers, row)) for row in fetched.rows)


def _read(reader: Callable[[str], Any] | None, cell: Any) -> Any:
    return cell if reader is None or cell is None else reader(cell)


def _table_lines(fetched: Fetched, limits: DatabaseLimits) -> tuple[list[str], bool]:
    """The header and as many rows as may be shown, with whether a cell or a line was cut."""
    room = limits.max_text_chars
    lines: list[str] = []
    cut = False
    for row in (fetched.columns, *fetched.rows[: limits.shown_rows]):
        cells = [cell_text(cell, max_chars=limits.max_cell_chars) for cell in row]
        line = " | ".join(cells)
        cut = cut or any(cell.endswith(("…", "…'")) for cell in cells)
        if len(line) > room:
            cut = True
            if len(lines) > 1:
                break
            line = f"{line[: max(room, limits.max_cell_chars)]}…"
        room -= len(line) + 1
        lines.append(line)
    return lines, cut


def _count_text(total: int, *, shown: int, more: bool) -> str:
    count = f"{'more than ' if more else ''}{total} row{'' if total == 1 else 's'}"
    return count if shown == total else f"{count}, first {shown} shown"
