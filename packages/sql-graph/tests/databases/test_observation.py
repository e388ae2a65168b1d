"""What a model reads after a query: short, on as few lines as there are rows, free of noise."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sql_graph import DatabaseLimits
from sql_graph.agent.observe import observe
from sql_graph.databases import Fault, Fetched
from sql_graph.ports import ObservationStatus

LIMITS = DatabaseLimits(shown_rows=3, max_cell_chars=12)


def read(*rows: tuple[object, ...], columns: tuple[str, ...] = ("a", "b"), more: bool = False) -> str:
    """The text of a result."""
    return observe(Fetched(columns=columns, rows=list(rows), more=more), limits=LIMITS, seconds=0.0).text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "NULL"),
        (True, "true"),
        (1.5, "1.5"),
        (Decimal("1.50"), "1.50"),
        (date(2024, 1, 2), "2024-01-02"),
        ("", ""),
        ("two\nlines\tand", "two\\nlines\\…"),
        ("x" * 12, "x" * 12),
        ("x" * 13, "x" * 11 + "…"),
        (b"", "x''"),
        (b"\x01\xff", "x'01ff'"),
        (bytes(9), "x'0000000000000000…'"),
    ],
)
def test_a_cell(value: object, text: str) -> None:
    """Each value is one short piece of text on one line."""
    assert read((value,), columns=("a",)) == f"a\n{text}\n1 row"


def test_a_table() -> None:
    """A header, the rows, the count; what is left out is said."""
    assert read((1, "x"), (2, None)) == "a | b\n1 | x\n2 | NULL\n2 rows"
    assert read() == "a | b\n0 rows"
    assert read(*[(i, i) for i in range(5)]).endswith("2 | 2\n5 rows, first 3 shown")
    assert read(*[(i, i) for i in range(5)], more=True).endswith("\nmore than 5 rows, first 3 shown")


def test_a_wide_table_stays_short() -> None:
    """Neither two thousand columns nor long rows make a long text."""
    limits = DatabaseLimits(max_text_chars=500)
    rows = [tuple("x" * 50 for _ in range(2000))] * 20
    seen = observe(
        Fetched(columns=tuple("c" * 9 for _ in range(2000)), rows=rows, more=False), limits=limits, seconds=0
    )
    assert len(seen.text) < 1500
    assert seen.truncated
    assert seen.row_count == 20


@given(
    rows=st.lists(st.tuples(st.text(max_size=40), st.none() | st.integers() | st.binary(max_size=20)), max_size=30),
    more=st.booleans(),
)
def test_any_result_is_a_header_rows_and_a_count(rows: list[tuple[object, ...]], more: bool) -> None:
    """Whatever the values, the text has one line a row shown, and says how many there are."""
    seen = observe(Fetched(columns=("a", "b"), rows=rows, more=more), limits=LIMITS, seconds=0.0)
    lines = seen.text.split("\n")
    assert len(lines) == 2 + min(len(rows), LIMITS.shown_rows)
    assert lines[-1].startswith(f"{'more than ' if more else ''}{len(rows)} row")
    assert seen.status is (ObservationStatus.ROWS if rows else ObservationStatus.EMPTY)
    assert seen.truncated or not (more or len(rows) > LIMITS.shown_rows)


@pytest.mark.parametrize(
    ("status", "message", "text"),
    [
        (ObservationStatus.ERROR, "no such column: nme", "Error: no such column: nme"),
        (ObservationStatus.ERROR, "line one\n\n  line two ", "Error: line one; line two"),
        (ObservationStatus.ERROR, "at postgresql://u:pw@h/d no", "Error: at (address) no"),
        (ObservationStatus.TIMEOUT, "stopped after 5 s", "Timeout: stopped after 5 s"),
        (ObservationStatus.REFUSED, "", "Refused: the database gave no reason"),
    ],
)
def test_a_failure(status: ObservationStatus, message: str, text: str) -> None:
    """The kind of failure and the database's own words, on one line, without addresses."""
    seen = observe(Fault(status=status, message=message), limits=LIMITS, seconds=0.0)
    assert (seen.status, seen.text) == (status, text)


def test_a_long_failure_is_cut() -> None:
    """An error that quotes the whole query does not fill the prompt."""
    assert len(observe(Fault(status=ObservationStatus.ERROR, message="x" * 9999), limits=LIMITS, seconds=0).text) < 320
