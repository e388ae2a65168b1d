"""From replies to queries and verdicts."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage

from sql_graph import extract_sql
from sql_graph.parse import message_text, read_reply
from sql_graph.sqltext import same_query
from sql_graph.verdict import checker_remarks, parse_verdict

TABLE: dict[str, Any] = tomllib.loads(Path(__file__).with_name("replies.toml").read_text("utf-8"))
DATA = Path(os.environ.get("SQL_TEST_DATA", Path(__file__).parents[4] / ".." / "shared" / "data"))
CASES: list[dict[str, str]] = TABLE["case"]
PIECES = ["```", "~~~", "sql", "SELECT", "FROM t", "WITH a AS (", "\n", " ", ";", "'", '"', "--", "/*", "*/", "<think>"]
PIECES += ["\x0b", "\x1c", "\x85", "\u2028", "\r", "VALUES (", "DROP TABLE t", "the", "Then.", "a: ", "```sql"]
PIECES += [
    "</think>",
    "{",
    '{"sql": "',
    "SQL:",
    "<sql>",
    "`",
    "VERDICT:",
    "correct",
    "(",
    ")",
    "\r\n",
    "é",
    "\\",
    "\x00",
]


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_query_in_reply(case: dict[str, str]) -> None:
    """Each written shape of reply gives the query that a reader finds in it, or none."""
    assert extract_sql(case["reply"]) == case.get("sql")


def test_table_is_large() -> None:
    """The table covers at least 40 shapes, and names none twice."""
    assert len({case["name"] for case in CASES}) == len(CASES) >= 40


@settings(max_examples=1000)
@example("SELECT '\x0b\x1c\x85\u2028' FROM t")  # Unicode's other line ends, inside quotes
@given(st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=40).map("".join)))
def test_any_text_is_read(reply: str) -> None:
    """No text makes a reader raise, and what is found is in the reply, begins like SQL and is not blank."""
    sql = extract_sql(reply)
    parse_verdict(reply)
    checker_remarks(reply)
    assert sql is None or (sql.strip() == sql and sql)


@given(st.text(alphabet=st.characters(categories=["Lu", "Ll", "Nd", "Po", "Zs"]), max_size=200))
def test_a_fenced_query_is_found_in_any_prose(prose: str) -> None:
    """Words before and after a fenced query do not hide it."""
    words = prose.replace("`", "").replace("~", "")
    assert extract_sql(f"{words}\n```sql\nSELECT a FROM t\n```\n{words}") == "SELECT a FROM t"


@pytest.mark.parametrize(
    "piece",
    [
        *PIECES,
        "SELECT a FROM t\n",
        "<think>```",
        "/*'",
        "SQL: SELECT ",
        "with a as (",
        "((",
        "-- \n",
        "SELECT 1;\n",
        "`a b` ",
    ],
)
@pytest.mark.timeout(60)
def test_long_replies_are_read_to_their_end(piece: str) -> None:
    """No repetition makes a reader's work explode: 40 000 characters, far beyond any reply, are read to the end."""
    reply = piece * (40_000 // len(piece))
    extract_sql(reply)
    parse_verdict(reply)
    assert same_query(reply, reply + " ")


CUT = {"finish_reason": "length"}


@pytest.mark.parametrize(
    ("text", "sql"),
    [
        ("```sql\nSELECT name FROM singer WHERE age > 3", None),
        ("SELECT name FROM singer WHERE age > 3", None),
        ("```sql\nSELECT name FROM singer;", "SELECT name FROM singer;"),
        ("```sql\nSELECT name FROM singer\n```\nThis query", "SELECT name FROM singer"),
        ("SELECT name FROM singer;\n\nThis query", "SELECT name FROM singer;"),
        ("```sql\nSELECT name FROM singer WHERE note = 'a;", None),
        ("<think>hm, ```sql\nSELECT 1\n```", None),
        ('{"sql": "SELECT 1', None),
        ("<sql>SELECT name FROM", None),
        ("I would say that", None),
    ],
)
def test_a_cut_query_is_not_used(text: str, sql: str | None) -> None:
    """What the length limit left of a query may run and mean something else; a query that ended before is used."""
    reply = read_reply(AIMessage(text, response_metadata=CUT))
    assert (reply.sql, reply.cut) == (sql, True)
    assert not read_reply(AIMessage(text)).cut


@pytest.mark.parametrize("case", TABLE["verdict"], ids=[case["reply"][:40] for case in TABLE["verdict"]])
def test_verdict(case: dict[str, str]) -> None:
    """Only a line that is nothing but a verdict counts, and the last such line."""
    assert parse_verdict(case["reply"]) == case.get("verdict")


def test_remarks_leave_out_the_verdict() -> None:
    """What goes back to the model is the reason, not the verdict or the thinking."""
    assert checker_remarks("<think>hm</think>\nThe join is missing.\n\nVERDICT: INCORRECT\n") == "The join is missing."


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ("SELECT 1", "SELECT  1 ;", True),
        ("SELECT a\nFROM t", " SELECT a FROM t;; ", True),
        ("SELECT 'a b'", "SELECT 'a  b'", False),
        ("SELECT 'a' , 'b'", "SELECT 'a', 'b'", False),
        ("SELECT a FROM t", "SELECT b FROM t", False),
        ("SELECT 'it''s'  ", "SELECT 'it''s'", True),
    ],
)
def test_same_query(left: str, right: str, same: bool) -> None:
    """White space outside quotes and closing semicolons make no difference; anything else does."""
    assert same_query(left, right) is same


def test_content_in_parts() -> None:
    """A message whose content is a list of parts is read like one text, without its reasoning."""
    parts = [{"type": "reasoning", "text": "SELECT 2"}, {"type": "text", "text": "```sql\nSELECT 1"}, "\n```"]
    assert message_text(AIMessage(content=parts)) == "```sql\nSELECT 1\n```"
    assert read_reply(AIMessage(content=parts)).sql == "SELECT 1"


def _gold_queries() -> list[str]:
    files = [DATA / "spider" / name for name in ("dev_gold.sql", "train_gold.sql", "test_gold.sql")]
    lines = [line for file in files for line in file.read_text("utf-8").splitlines() if line.strip()]
    return [line.rsplit("\t", 1)[0].strip() for line in lines]


SHAPES: dict[str, Callable[[str], str]] = {
    "fenced": lambda sql: f"Here it is:\n```sql\n{sql}\n```\nIt lists the names.",
    "without tag": lambda sql: f"```\n{sql}\n```",
    "one line": lambda sql: f"```sql {sql}```",
    "unclosed": lambda sql: f"```sql\n{sql}",
    "bare": lambda sql: sql,
    "bare before prose": lambda sql: f"{sql}\n\nThis lists the names.",
    "labelled": lambda sql: f"SQL: {sql}",
    "JSON": lambda sql: json.dumps({"sql": sql}),
}


@pytest.mark.data
@pytest.mark.skipif(not DATA.is_dir(), reason=f"no Spider data at {DATA}; point SQL_TEST_DATA at it")
@pytest.mark.parametrize("shape", SHAPES)
def test_people_s_queries_survive_every_shape(shape: str) -> None:
    """No rule against prose or placeholders costs one of Spider's gold queries."""
    queries = _gold_queries()
    lost = [sql for sql in queries if extract_sql(SHAPES[shape](sql)) != sql]
    assert len(queries) > 9_000
    assert lost == []
