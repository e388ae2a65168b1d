"""What the model is told, word for word, and that it always fits."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import BaseMessage

from sql_graph import Observation, PromptStyle, estimate_tokens, extract_sql
from sql_graph.agent.prompts import (
    Outcome,
    PromptBudget,
    Task,
    check_messages,
    lesson_messages,
    prompt_tokens,
    rewrite_messages,
    write_messages,
)
from sql_graph.agent.shown import tame
from sql_graph.agent.state import history_records
from sql_graph.agent.tokens import clip
from sql_graph.errors import EmptyQuestionError, PromptBudgetError
from sql_graph.parse import message_text
from sql_graph.ports import SchemaStyle

GOLDEN = Path(__file__).with_name("prompts")
FULL_SCHEMA = """\
CREATE TABLE singer (
  singer_id integer PRIMARY KEY,
  name text, -- 'Joe Sharp', 'Tribal King'
  country text -- 'France', 'Netherlands'
);"""
COMPACT_SCHEMA = "singer(singer_id int pk, name text, country text)"
FULL = Task(question="What are the names of French singers?", schema=FULL_SCHEMA, dialect="SQLite")
COMPACT = Task(question=FULL.question, schema=COMPACT_SCHEMA, dialect="SQLite", style=PromptStyle.COMPACT)
FOLLOW_UP = Task(
    question="And their countries?",
    schema=FULL_SCHEMA,
    dialect="SQLite",
    history=history_records([("How many singers are there?", "SELECT count(*) FROM singer")]),
)
FAILED = Outcome(
    sql="SELECT nme\nFROM singer",
    observation="error: no such column: nme",
    feedback="The query does not run.",
)
LISTED = Outcome(sql="SELECT name FROM singer", observation="name\nJoe Sharp\nTribal King\n(2 rows)")
LESSONS = ["singer has no column nme. The nearest names are singer.name.", "singer has the columns singer_id, name."]
PROMPTS: dict[str, list[BaseMessage]] = {
    "write_full": write_messages(FULL),
    "write_compact": write_messages(COMPACT),
    "write_follow_up": write_messages(FOLLOW_UP),
    "rewrite_full": rewrite_messages(FULL, FAILED),
    "rewrite_full_without_feedback": rewrite_messages(FULL, LISTED),
    "rewrite_compact": rewrite_messages(COMPACT, FAILED),
    "lesson_full": lesson_messages(FULL, LESSONS),
    "lesson_compact": lesson_messages(COMPACT, LESSONS),
    "check_full": check_messages(FULL, LISTED),
    "check_compact": check_messages(COMPACT, LISTED),
}


def as_text(messages: list[BaseMessage]) -> str:
    """A prompt as a reviewer reads it."""
    return "\n".join(f"=== {message.type}\n{message_text(message)}" for message in messages) + "\n"


@pytest.mark.parametrize("name", PROMPTS)
def test_prompt_reads_as_written_down(name: str) -> None:
    """Each prompt equals its file, word for word: a change of words is a change of training, and is seen.

    With UPDATE_SNAPSHOTS=1 the files are written anew.
    """
    file = GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        GOLDEN.mkdir(exist_ok=True)
        file.write_text(as_text(PROMPTS[name]), encoding="utf-8")
    assert as_text(PROMPTS[name]) == file.read_text("utf-8")


def test_prompts_hold_nothing_to_copy() -> None:
    """Instructions carry no query and no placeholder, so a model that repeats them has written no SQL."""
    for task in (FULL, COMPACT):
        instructions = as_text(write_messages(task)).replace(task.schema, "")
        assert extract_sql(instructions) is None
        assert not [word for word in ("GENERATED", "REWRITTEN", "YOUR QUERY", "...") if word in instructions]


def test_prompts_of_one_question_share_their_beginning() -> None:
    """The rewrite continues the messages of the write, so a server's prefix cache holds schema and question."""
    assert rewrite_messages(FULL, FAILED)[:2] == write_messages(FULL)


def test_compact_prompt_is_short() -> None:
    """Everything but schema and question takes a handful of words."""
    words = as_text(write_messages(COMPACT)).replace(COMPACT.schema, "").replace(COMPACT.question, "").split()
    assert len(words) <= 8
    assert len(write_messages(COMPACT)) == 1


class HugeDatabase:
    """A database whose schema is as long as it may be, or longer."""

    dialect = "SQLite"

    def __init__(self, schema: str) -> None:
        self.schema = schema
        self.asked: list[tuple[int, SchemaStyle]] = []

    def schema_text(self, question: str, *, budget_tokens: int, style: SchemaStyle) -> str:
        """The schema, however long."""
        self.asked.append((budget_tokens, style))
        return self.schema

    def run(self, sql: str) -> Observation:
        """Never asked here."""
        raise AssertionError(sql)


TEXTS = st.one_of(
    st.text(max_size=300),
    st.builds(
        lambda piece, times: piece * times,
        st.sampled_from(["x", "é", "\U0001f600", " \n", "1", "SELECT a.b, ", "```", "name | 12 | NULL\n", "\t"]),
        st.integers(0, 6000),
    ),
)


@settings(max_examples=150, deadline=None)
@given(
    question=st.text(min_size=1, max_size=120).filter(str.strip),
    schema=TEXTS,
    sql=TEXTS,
    shown=TEXTS,
    feedback=TEXTS,
    history=st.lists(st.tuples(TEXTS, TEXTS), max_size=3),
    total=st.integers(700, 4096),
    style=st.sampled_from(list(PromptStyle)),
)
def test_every_prompt_is_within_the_budget(
    question: str,
    schema: str,
    sql: str,
    shown: str,
    feedback: str,
    history: list[tuple[str, str]],
    total: int,
    style: PromptStyle,
) -> None:
    """Whatever the schema, the query, its result and the feedback: no prompt is longer than the budget."""
    budget = PromptBudget(total_tokens=total)
    try:
        task = budget.task(HugeDatabase(schema), question, style=style, history=history_records(history))
    except PromptBudgetError:
        assert estimate_tokens(question) > 100
        return
    outcome = budget.outcome(task, sql=sql, observation=shown, feedback=feedback)
    lessons = budget.lessons(task, [shown, feedback, sql, shown])
    assert set(lessons) <= {" ".join(tame(text).split()) for text in (shown, feedback, sql)}
    prompts = (write_messages(task), rewrite_messages(task, outcome), check_messages(task, outcome))
    for messages in (*prompts, lesson_messages(task, lessons)):
        assert prompt_tokens(messages) <= total


@pytest.mark.parametrize("style", list(PromptStyle))
def test_schema_budget_is_the_same_all_along(style: PromptStyle) -> None:
    """The schema's part depends on the question, not on queries or results, and is asked for in the prompt's style."""
    database = HugeDatabase("singer(name text)")
    budget = PromptBudget(total_tokens=1000)
    first = budget.task(database, FULL.question, style=style)
    second = budget.task(database, FULL.question, style=style)
    assert first == second
    assert len({tokens for tokens, _ in database.asked}) == 1
    assert database.asked[0][1] == str(style)
    assert database.asked[0][0] > 300


@pytest.mark.parametrize("style", list(PromptStyle))
def test_a_query_is_whole_or_not_there(style: PromptStyle) -> None:
    """A query beyond its share is left out of the prompts, which then hold nothing of it."""
    task = PromptBudget().task(HugeDatabase("t(a int)"), "how many?", style=style)
    long = "SELECT " + ", ".join(f"column_{number}" for number in range(2000)) + " FROM t"
    outcome = PromptBudget().outcome(task, sql=long, observation="Error: no such column: column_7")
    assert outcome.sql == ""
    for messages in (rewrite_messages(task, outcome), check_messages(task, outcome)):
        text = as_text(messages)
        assert "no such column: column_7" in text
        assert "column_8" not in text
        assert "left out" not in text
        assert [message.type for message in messages].count("human") == 1


def test_lessons_are_whole_and_said_once() -> None:
    """Lessons come in order, none twice; one that does not fit is left out whole, and a line is a line."""
    task = PromptBudget().task(HugeDatabase("t(a int)"), "how many?", style=PromptStyle.FULL)
    long = "word " * 5000
    kept = PromptBudget().lessons(task, ["a is\nin t.", long, "b is in u.", "a is in t."])
    assert kept == ["a is in t.", "b is in u."]
    assert lesson_messages(task, []) == write_messages(task)


def test_what_is_cut_says_so() -> None:
    """A result beyond its share, or beyond the characters allowed, ends in a note."""
    task = PromptBudget().task(HugeDatabase("t(a int)"), "how many?", style=PromptStyle.FULL)
    shown = "value\n" * 5000
    cut = PromptBudget().outcome(task, sql="SELECT 1", observation=shown).observation
    assert cut.startswith("value\nvalue\n")
    assert cut.endswith("characters left out]")
    brief = PromptBudget(max_observation_chars=11).outcome(task, sql="SELECT 1", observation=shown).observation
    assert brief == "value\nvalue [29989 characters left out]"


@pytest.mark.parametrize("question", ["", " \n\t "])
def test_empty_question(question: str) -> None:
    """There is nothing to answer, so nobody is asked."""
    with pytest.raises(EmptyQuestionError, match="the question is empty"):
        PromptBudget().task(HugeDatabase(""), question, style=PromptStyle.FULL)


def test_question_beyond_the_budget() -> None:
    """A question that leaves no room for the schema is refused, not cut."""
    with pytest.raises(PromptBudgetError, match="shorten the question or raise prompt_budget_tokens"):
        PromptBudget(total_tokens=600).task(HugeDatabase(""), "why " * 400, style=PromptStyle.FULL)


def test_latest_history_is_kept() -> None:
    """When a conversation is too long for the budget, its beginning goes."""
    history = history_records([(f"question {number} " + "word " * 60, "SELECT 1") for number in range(20)])
    task = PromptBudget(total_tokens=2000).task(HugeDatabase(""), "and now?", style=PromptStyle.FULL, history=history)
    assert 1 < len(task.history) < 20
    assert list(task.history) == history[-len(task.history) :]


@given(text=TEXTS, limit=st.integers(0, 300))
@settings(deadline=None)
def test_clip(text: str, limit: int) -> None:
    """A clipped text fits, keeps the beginning, and is untouched when it fitted."""
    clipped = clip(text, limit)
    assert estimate_tokens(clipped) <= limit
    if estimate_tokens(text) <= limit:
        assert clipped == text
    elif clipped:
        assert text.startswith(clipped.rpartition(" [")[0])


@given(left=TEXTS, right=TEXTS)
@settings(deadline=None)
def test_estimate_of_parts(left: str, right: str) -> None:
    """The whole is at least its longest part, and at most its parts and one joint."""
    whole = estimate_tokens(left + right)
    assert max(estimate_tokens(left), estimate_tokens(right)) <= whole + 1
    assert whole <= estimate_tokens(left) + estimate_tokens(right) + 1
