"""Decide by its rows whether a gold query makes a useful question.

A question whose answer is empty, NULL or zero rewards any query that finds nothing.
"""

from __future__ import annotations


def says_something(rows: list[tuple[object, ...]]) -> bool:
    """Whether a result has rows, and is neither a single zero nor only NULL."""
    if not rows or all(value is None for row in rows for value in row):
        return False
    return len(rows) > 1 or any(value not in (None, 0) for value in rows[0])
