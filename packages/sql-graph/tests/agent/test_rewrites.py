"""How the agent asks again: what failures taught stands beside the question, and the best attempt answers."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from sql_graph import CheckMode, Observation, ScriptedChat, SqlAnswer, SqlDatabase, StopReason, TableDatabase, answer
from sql_graph.options import RewriteForm
from sql_graph.parse import message_text
from sql_graph.ports import ObservationStatus

GOOD, OTHER = "SELECT name FROM singer", "SELECT age FROM singer"
BAD, WORSE, WORST = "SELECT nme FROM singer", "SELECT nam FROM singer", "SELECT x FROM singer"
NONE = "SELECT name FROM singer WHERE age > 200"
MISSING = "singer has no column nme. The nearest names are singer.name."


class Knowing(TableDatabase):
    """A table that knows where a name lives."""

    def hints(self, sql: str, observation: Observation) -> tuple[str, ...]:
        """One fact about one query; nothing about others."""
        return (MISSING,) if sql == BAD else ()


def play(*replies: Any, greedy: bool = False, **options: Any) -> tuple[SqlAnswer, ScriptedChat, Knowing]:
    """Run the agent as it is by default on scripted replies; every reply must be asked for."""
    slow = Observation(status=ObservationStatus.TIMEOUT, text="Timeout: stopped after 5 s")
    answers: dict[str, Any] = {GOOD: [{"name": "Joe"}], OTHER: [{"age": 30}], NONE: [], "SELECT slow": slow}
    database = Knowing(answers, schema="CREATE TABLE singer (name text, age int);")
    chat = ScriptedChat(replies, temperature=0.0 if greedy else None)
    got = answer("Which names are there?", database=database, chat=chat, **options)
    assert len(chat.calls) == len(replies)
    return got, chat, database


# Each line: what the model says in turn, options, and what must come of it:
# the answer, queries executed, why it ended, and the queries that reached the database.
SCENARIOS: dict[str, tuple[list[Any], dict[str, Any], str | None, StopReason, list[str]]] = {
    "a rewrite that runs": ([BAD, GOOD], {}, GOOD, StopReason.APPROVED, [BAD, GOOD]),
    "a repeated failure is asked for again": ([BAD, BAD, GOOD], {}, GOOD, StopReason.APPROVED, [BAD, GOOD]),
    "a rewrite without SQL is asked for again": (
        [BAD, "I cannot.", GOOD], {}, GOOD, StopReason.APPROVED, [BAD, GOOD]
    ),
    "replies are bounded": ([BAD] * 5, {}, BAD, StopReason.REPEATED, [BAD]),
    "turns are bounded": ([BAD, WORSE, WORST], {}, WORST, StopReason.MAX_TURNS, [BAD, WORSE, WORST]),
    "a repeated query that ran is meant": ([NONE, NONE], {}, NONE, StopReason.REPEATED, [NONE]),
    "what ran beats what failed later": ([NONE, BAD, WORSE], {}, NONE, StopReason.MAX_TURNS, [NONE, BAD, WORSE]),
    "what took too long beats what is refused": (
        ["SELECT slow", "DROP TABLE singer"], {"max_turns": 2}, "SELECT slow", StopReason.MAX_TURNS,
        ["SELECT slow", "DROP TABLE singer"],
    ),
    "nobody checks what ran": ([NONE], {"check": CheckMode.NONE}, NONE, StopReason.APPROVED, [NONE]),
    "nobody checks, and an error is written anew": (
        [BAD, GOOD], {"check": CheckMode.NONE}, GOOD, StopReason.APPROVED, [BAD, GOOD]
    ),
    "no SQL at first": (["I cannot."], {}, None, StopReason.NO_SQL, []),
    "the best attempt answers in a conversation too": (
        [NONE, BAD], {"rewrite": RewriteForm.CONVERSATION, "max_turns": 2}, NONE, StopReason.MAX_TURNS, [NONE, BAD]
    ),
    "our note is no SQL": (
        ["SELECT name FROM singer WHERE age = [29 characters left out]", GOOD],
        {}, GOOD, StopReason.APPROVED, [GOOD],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario(name: str) -> None:
    """Each written course of events ends as its author expects, with not one call more or fewer."""
    replies, options, sql, stop, executed = SCENARIOS[name]
    got, _, database = play(*replies, **options)
    assert (got.sql, got.stop, database.queries) == (sql, stop, executed)
    if got.sql is not None:
        assert got.observation is not None
        assert got.observation.text == TableDatabase.run(database, got.sql).text


def test_no_failed_query_is_shown() -> None:
    """A rewrite prompt holds the first prompt's messages and what failures taught, and no failed query."""
    _, chat, _ = play(BAD, WORSE, GOOD)
    first, second, third = chat.calls
    assert first[0] == second[0] == third[0]
    assert message_text(second[-1]).startswith(message_text(first[-1]))
    said = [message_text(message) for call in (second, third) for message in call]
    assert not [text for text in said if BAD in text or WORSE in text]
    assert MISSING in message_text(second[-1])
    assert MISSING in message_text(third[-1])
    assert "no such query" in message_text(third[-1])  # nothing better is known of the second failure


@pytest.mark.parametrize("form", RewriteForm)
def test_only_later_rewrites_of_a_greedy_model_are_random(form: RewriteForm) -> None:
    """The first rewrite is greedy like the first query; the next is not, in LESSON; other models are never told."""
    _, chat, _ = play(BAD, WORSE, GOOD, greedy=True, rewrite=form)
    heats = [sampling.get("temperature") for sampling in chat.sampling]
    assert heats == ([None, None, 0.8] if form is RewriteForm.LESSON else [None, None, None])
    _, chat, _ = play(BAD, WORSE, GOOD, rewrite=form)
    assert chat.sampling == [{}, {}, {}]


def test_hints_are_in_the_answer() -> None:
    """Each failed attempt tells what the database knew."""
    got, _, _ = play(BAD, GOOD)
    assert [attempt.hints for attempt in got.attempts] == [(MISSING,), ()]
    assert got.to_dict()["attempts"][0]["hints"] == [MISSING]


def test_a_confused_alias_is_set_right(tmp_path: Path) -> None:
    """A column under the alias of another table runs as it was meant; the answer keeps what the model wrote."""
    file = tmp_path / "shop.sqlite"
    with sqlite3.connect(file) as connection:
        connection.executescript(
            "CREATE TABLE item (id int, name text); CREATE TABLE sale (item_id int, price int);"
            "INSERT INTO item VALUES (1, 'pen'); INSERT INTO sale VALUES (1, 3);"
        )
    wrong = "SELECT T2.name, T1.price FROM item AS T1 JOIN sale AS T2 ON T1.id = T2.item_id"
    meant = "SELECT T1.name, T2.price FROM item AS T1 JOIN sale AS T2 ON T1.id = T2.item_id"
    with SqlDatabase(file) as database:
        got = answer("?", database=database, chat=ScriptedChat([wrong]))
        assert (got.sql, got.rows, got.stop) == (meant, (("pen", 3),), StopReason.APPROVED)
        assert [(attempt.sql, attempt.written) for attempt in got.attempts] == [(meant, wrong)]
        told = answer("?", database=database, chat=ScriptedChat([wrong]), max_turns=1, rewrite=RewriteForm.CONVERSATION)
        assert (told.sql, told.ran) == (wrong, False)
        for doubtful in (
            "SELECT T3.size FROM item AS T1",
            "SELECT T1.colour FROM item AS T1",
            "SELECT price FROM item",
        ):
            assert database.mended(doubtful, database.run(doubtful)) is None
        both = "SELECT b.name FROM item AS a JOIN item AS c ON a.id = c.id JOIN sale AS b ON a.id = b.item_id"
        assert database.mended(both, database.run(both)) is None  # two tables have the column
