"""Replies built from parts: every query beside every marker, token, label and notation."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sql_graph import extract_sql
from sql_graph.verdict import checker_remarks, parse_verdict

PARTS: dict[str, Any] = tomllib.loads(Path(__file__).with_name("reply_parts.toml").read_text("utf-8"))
COUNT = "SELECT count(*) FROM singer"
DRAFT = "maybe ```sql\nSELECT wrong FROM t\n``` no. SELECT wrong FROM t"


def found(reply: str) -> str | None:
    """The query in a reply, without closing semicolons."""
    sql = extract_sql(reply)
    return None if sql is None else sql.rstrip("; ")


@pytest.mark.parametrize(("opens", "closes"), PARTS["thoughts"], ids=[pair[0].strip() for pair in PARTS["thoughts"]])
def test_drafts_in_thoughts_never_win(opens: str, closes: str) -> None:
    """A draft is left out in each marker: closed, unclosed, or closed only."""
    assert found(f"{opens}{DRAFT}{closes}{COUNT}") == COUNT
    assert found(f"{opens}\n{DRAFT}\n{closes}\n\n```sql\n{COUNT}\n```") == COUNT
    assert found(f"{DRAFT}{closes}\n{COUNT}") == COUNT
    assert found(f"{opens}{DRAFT}") is None
    assert str(parse_verdict(f"{opens}VERDICT: CORRECT{closes}\nVERDICT: INCORRECT")) == "incorrect"


@pytest.mark.parametrize("token", PARTS["ends"])
def test_end_tokens_are_cut(token: str) -> None:
    """The tokens of chat templates are no part of a query or a verdict, wherever they end it."""
    for reply in (f"{COUNT}{token}", f"{COUNT}\n{token}\n", f"{COUNT};{token}", f"```sql\n{COUNT}\n```{token}"):
        assert found(reply) == COUNT
    assert found(f"```sql\n{COUNT}{token}") == COUNT
    assert str(parse_verdict(f"VERDICT: INCORRECT{token}")) == "incorrect"


@pytest.mark.parametrize("query", PARTS["queries"])
def test_a_query_is_read_to_its_end(query: str) -> None:
    """Blank lines, strings and comments end no query, and the words around it are no part of it."""
    assert found(query) == query
    assert found(f"{query}\n\nThis query returns the names; it is right.") == query
    assert found(f"Here is the query:\n\n{query}\n\nLet me know!") == query
    assert found(f"SQL: {query}") == query
    assert found(f"```sql\n{query}\n```") == query


@pytest.mark.parametrize("label", PARTS["labels"])
def test_labels(label: str) -> None:
    """What introduces a query is no part of it."""
    assert found(f"{label}{COUNT}") == COUNT
    assert found(f"I looked at the schema.\n{label}{COUNT}\nThis counts all singers.") == COUNT


@pytest.mark.parametrize("wrapper", PARTS["wrappers"])
def test_wrappers(wrapper: str) -> None:
    """The query is found inside each notation, and no draft beside it."""
    assert found(wrapper.replace("@", COUNT)) == COUNT


@pytest.mark.parametrize(("written", "meant"), PARTS["typography"])
def test_typography(written: str, meant: str) -> None:
    """Characters that no database reads are made plain outside quotes, and stay inside."""
    assert found(written) == meant
    assert found(f"```sql\n{written}\n```") == meant


@pytest.mark.parametrize("query", PARTS["unusual"])
def test_unusual_queries(query: str) -> None:
    """Quoted names, comments and parentheses make no query look like prose."""
    for reply in (query, f"```\n{query}\n```", f"```sql\n{query}\n```", f"```sql\n{query}"):
        assert found(reply) == query


@pytest.mark.parametrize("words", PARTS["prose"])
def test_prose_never_is_a_query(words: str) -> None:
    """Words that begin like SQL are none, bare or in a fence without tag."""
    assert found(words) is None
    assert found(f"```\n{words}\n```") is None


@pytest.mark.parametrize("reply", PARTS["nothing"])
def test_no_query_for_the_database(reply: str) -> None:
    """Drafts, sketches and sentences reach no database, even where a fence says SQL."""
    assert found(reply) is None


PIECES = sorted({piece for key in ("ends", "labels", "prose") for piece in PARTS[key]})
PIECES += [part for pair in PARTS["thoughts"] for part in pair] + [
    "```",
    "'''\n",
    '"',
    "'",
    "{",
    '{"sql": "',
    "SELECT ",
    ";",
]
PIECES += ["(", "/*", "--", "\n", "‘", "“", "&lt;", "\\'", "<|channel|>", "a FROM t ", "[", "[{", "\\boxed{", 'run("']


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=25).map("".join))
def test_any_mixture_is_read(reply: str) -> None:
    """No mixture of markers makes a reader raise; what is found is neither blank nor padded."""
    sql = extract_sql(reply)
    parse_verdict(reply)
    checker_remarks(reply)
    assert sql is None or (sql and sql == sql.strip())


@pytest.mark.timeout(60)
@settings(max_examples=4, deadline=None)
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=3).map("".join))
def test_a_megabyte_of_repetition_is_read(piece: str) -> None:
    """A reply of a megabyte is read within the timeout: were the time quadratic, hours would pass."""
    reply = piece * (1_000_000 // len(piece))
    sql = extract_sql(reply)
    parse_verdict(reply)
    assert sql is None or len(sql) <= len(reply)
