"""One cell of a result outside of Python: as a JSON value, and as the text of a CSV file."""

from __future__ import annotations

import math
from datetime import date, datetime, time
from typing import Any

LARGEST_EXACT = 2**53
"""Whole numbers beyond it lose digits in most readers of JSON."""


def json_value(cell: object) -> Any:
    """A JSON value for a cell: numbers, text, booleans and NULL as they are, everything else as `cell_string` has it.

    Whole numbers beyond 2⁵³ and numbers that are not finite are text: JSON cannot carry them safely.
    """
    if cell is None or isinstance(cell, bool):
        return cell
    if isinstance(cell, int):
        return cell if abs(cell) <= LARGEST_EXACT else str(cell)
    if isinstance(cell, float):
        return cell if math.isfinite(cell) else str(cell)
    return cell_string(cell)


def cell_string(cell: object) -> str:
    """A cell as text: NULL empty, bytes in hexadecimal digits, dates and times as ISO 8601."""
    if cell is None:
        return ""
    if isinstance(cell, bytes | bytearray):
        return bytes(cell).hex()
    if isinstance(cell, datetime | date | time):
        return cell.isoformat()
    return str(cell)
