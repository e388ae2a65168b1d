"""The agent from question to answer, with scripted replies and a table of results."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver

from sql_graph import (
    TRAINED_NODES,
    CheckMode,
    DatabaseError,
    ModelCallError,
    ModelFault,
    Observation,
    PromptStyle,
    ScriptedChat,
    SqlAnswer,
    StopReason,
    TableDatabase,
    UsageError,
    answer,
    build_graph,
)
from sql_graph.agent.graph import SqlGraph, run_agent
from sql_graph.agent.nodes import Agent, check_query, execute_query, rewrite_query, should_continue, write_query
from sql_graph.agent.walk import walk
from sql_graph.errors import EmptyQuestionError
from sql_graph.options import RewriteForm
from sql_graph.ports import ObservationStatus
from sql_graph.testing import ScriptError

SCHEMA = "CREATE TABLE singer (name text, age int);"
NAMES = "SELECT name FROM singer"
BAD = "SELECT nme FROM singer"
NONE = "SELECT name FROM singer WHERE age > 200"
COUNT = "SELECT count(*) AS n FROM singer"
PAIR = "SELECT name, age FROM singer"
TUTORIAL: dict[str, Any] = {"check": CheckMode.LLM, "rewrite": RewriteForm.CONVERSATION}
YES, NO = "Fine.\nVERDICT: CORRECT", "The column is wrong.\nVERDICT: INCORRECT"


def table() -> TableDatabase:
    """A database that knows five queries."""
    rows = [{"name": "Joe", "age": 30}, {"name": "Ann", "age": 41}]
    answers: dict[str, Any] = {NAMES: [{"name": row["name"]} for row in rows], NONE: [], COUNT: [{"n": 2}], PAIR: rows}
    answers["SELECT slow"] = Observation(status=ObservationStatus.TIMEOUT, text="stopped after 5 s")
    return TableDatabase(answers, schema=SCHEMA)


def fenced(sql: str) -> str:
    """A reply that holds a query."""
    return f"```sql\n{sql}\n```"


def cut(text: str) -> AIMessage:
    """A reply that the length limit cut."""
    return AIMessage(text, response_metadata={"finish_reason": "length"})


def play(
    *replies: Any, question: str = "Which names are there?", database: TableDatabase | None = None, **options: Any
) -> tuple[SqlAnswer, ScriptedChat, TableDatabase]:
    """Run the agent as the tutorial has it on scripted replies; every reply must be asked for."""
    chat, database = ScriptedChat(replies), database or table()
    got = answer(question, database=database, chat=chat, **(TUTORIAL | options))
    assert len(chat.calls) == len(replies)
    return got, chat, database


# Each line: what the model says in turn, options, and what must come of it:
# the query, how many were executed, why it ended, and the queries that reached the database.
SCENARIOS: dict[str, tuple[list[Any], dict[str, Any], str | None, int, StopReason, list[str]]] = {
    "approved at once": ([fenced(NAMES), YES], {}, NAMES, 1, StopReason.APPROVED, [NAMES]),
    "approved after a rewrite": (
        [fenced(BAD), NO, fenced(NAMES), YES], {}, NAMES, 2, StopReason.APPROVED, [BAD, NAMES]
    ),
    "no check on the last turn": ([fenced(NAMES)], {"max_turns": 1}, NAMES, 1, StopReason.MAX_TURNS, [NAMES]),
    "three turns, two checks": (
        [fenced(BAD), NO, fenced(NONE), NO, fenced(NAMES)], {}, NAMES, 3, StopReason.MAX_TURNS, [BAD, NONE, NAMES]
    ),
    "a rewrite that repeats": ([fenced(BAD), NO, f"{BAD} ;"], {}, f"{BAD} ;", 1, StopReason.REPEATED, [BAD]),
    "a rewrite that goes back": (
        [fenced(NAMES), NO, fenced(PAIR), NO, fenced(NAMES)], {}, NAMES, 2, StopReason.REPEATED, [NAMES, PAIR]
    ),
    "no SQL at all": (["I cannot tell."], {}, None, 0, StopReason.NO_SQL, []),
    "a placeholder": (["GENERATED QUERY"], {}, None, 0, StopReason.NO_SQL, []),
    "an empty reply": ([""], {}, None, 0, StopReason.NO_SQL, []),
    "a rewrite without SQL keeps the query": (
        [fenced(NAMES), NO, "It is right as it is."], {}, NAMES, 1, StopReason.NO_SQL, [NAMES]
    ),
    "cut before the query ended": ([cut("```sql\nSELECT name FR")], {}, None, 0, StopReason.CUT, []),
    "cut after the query ended": ([cut(f"{fenced(NAMES)}\nIt"), YES], {}, NAMES, 1, StopReason.APPROVED, [NAMES]),
    "a cut rewrite keeps the query": (
        [fenced(NAMES), NO, cut("```sql\nSELECT nam")], {}, NAMES, 1, StopReason.CUT, [NAMES]
    ),
    "a checker without verdict lets pass what ran": (
        [fenced(NAMES), "It lists the names."], {}, NAMES, 1, StopReason.APPROVED, [NAMES]
    ),
    "a checker without verdict lets pass no error": (
        [fenced(BAD), "nme?", fenced(NAMES), YES], {}, NAMES, 2, StopReason.APPROVED, [BAD, NAMES]
    ),
    "no verdict approves an error": (
        [fenced(BAD), YES, fenced(NAMES), YES], {}, NAMES, 2, StopReason.APPROVED, [BAD, NAMES]
    ),
    "rules cost no call": ([fenced(NAMES)], {"check": CheckMode.RULES}, NAMES, 1, StopReason.APPROVED, [NAMES]),
    "rules reject an error": (
        [fenced(BAD), fenced(NAMES)], {"check": CheckMode.RULES}, NAMES, 2, StopReason.APPROVED, [BAD, NAMES]
    ),
    "rules reject an empty result": (
        [fenced(NONE), fenced(NAMES)], {"check": CheckMode.RULES}, NAMES, 2, StopReason.APPROVED, [NONE, NAMES]
    ),
    "rules reject a timeout": (
        ["SELECT slow", NAMES], {"check": CheckMode.RULES}, NAMES, 2, StopReason.APPROVED, ["SELECT slow", NAMES]
    ),
    "both: what the rules reject is not shown to the model": (
        [fenced(BAD), fenced(NAMES), YES], {"check": CheckMode.BOTH}, NAMES, 2, StopReason.APPROVED, [BAD, NAMES]
    ),
    "both: the model has the last word": (
        [fenced(PAIR), NO, fenced(NAMES), YES], {"check": CheckMode.BOTH}, NAMES, 2, StopReason.APPROVED, [PAIR, NAMES]
    ),
    "compact prompts, bare replies": (
        [BAD, NAMES],
        {"check": CheckMode.RULES, "style": PromptStyle.COMPACT, "prompt_budget_tokens": 384},
        NAMES, 2, StopReason.APPROVED, [BAD, NAMES],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario(name: str) -> None:
    """Each written course of events ends as its author expects, with not one call more or fewer."""
    replies, options, sql, turns, stop, executed = SCENARIOS[name]
    got, _, database = play(*replies, **options)
    assert (got.sql, got.turns, got.stop, database.queries) == (sql, turns, stop, executed)


@pytest.mark.parametrize("max_turns", [1, 2, 3, 5, 12])
def test_turns_and_calls_are_bounded(max_turns: int) -> None:
    """A model that never succeeds executes `max_turns` queries and is called `2 * max_turns - 1` times."""
    queries = [f"SELECT x{number} FROM singer" for number in range(max_turns)]
    replies = [reply for sql in queries for reply in (fenced(sql), NO)][:-1]
    got, chat, database = play(*replies, max_turns=max_turns)
    assert (got.turns, got.stop, database.queries) == (max_turns, StopReason.MAX_TURNS, queries)
    assert len(chat.calls) == 2 * max_turns - 1


def test_answer_tells_the_whole_story() -> None:
    """Each attempt holds its node, query, observation and feedback; the answer is JSON at any time."""
    got, _, _ = play(fenced(BAD), NO, fenced(NAMES), YES)
    first, second = got.attempts
    assert (first.node, first.sql, first.feedback) == ("write_query", BAD, "The column is wrong.")
    assert first.observation is not None
    assert first.observation.status is ObservationStatus.ERROR
    assert (second.node, second.sql, second.feedback) == ("rewrite_query", NAMES, "")
    assert got.observation == second.observation
    assert got.ran
    told = json.loads(json.dumps(got.to_dict()))
    assert told["sql"] == NAMES
    assert [attempt["node"] for attempt in told["attempts"]] == ["write_query", "rewrite_query"]


def test_a_repeated_query_keeps_its_first_observation() -> None:
    """Going back to an earlier query answers with what that query showed, not with what the last one did."""
    got, _, _ = play(fenced(NAMES), NO, fenced(COUNT), NO, fenced(NAMES))
    assert got.observation is not None
    assert got.observation.columns == ("name",)


def test_rewrite_without_sql_is_recorded_as_such() -> None:
    """The last attempt shows that its reply held no query, while the answer keeps the earlier one."""
    got, _, _ = play(fenced(NAMES), NO, "No idea.")
    assert (got.attempts[-1].sql, got.attempts[-1].observation) == (None, None)
    assert got.observation is not None
    assert got.observation.row_count == 2


@pytest.mark.parametrize(
    ("question", "sql", "rejected"),
    [
        ("How many singers are there?", COUNT, False),
        ("How many singers are there?", PAIR, True),
        ("What is the number of singers?", PAIR, True),
        ("How many singers are there for each age?", PAIR, False),
        ("How many singers are there and what are their names?", PAIR, False),
        ("What are the names and ages?", PAIR, False),
    ],
)
def test_rule_on_columns(question: str, sql: str, rejected: bool) -> None:
    """A question for one number is not answered by two columns; in doubt nothing is said."""
    replies = [fenced(sql), *([fenced(COUNT)] if rejected else [])]
    got, _, _ = play(*replies, question=question, check=CheckMode.RULES)
    assert got.stop is StopReason.APPROVED
    assert bool(got.attempts[0].feedback) is rejected


def test_feedback_and_result_reach_the_rewrite() -> None:
    """The rewrite is shown the query, what it gave and what the checker said."""
    _, chat, _ = play(fenced(BAD), NO, fenced(NAMES), YES)
    rewrite = "\n".join(str(message.content) for message in chat.calls[2])
    for part in (BAD, "no such query", "The column is wrong.", SCHEMA, "Which names are there?"):
        assert part in rewrite
    assert "VERDICT" not in rewrite


def test_history_precedes_the_question() -> None:
    """Earlier questions and queries of a conversation are shown as its first messages."""
    _, chat, _ = play(fenced(NAMES), YES, history=[("How many singers are there?", COUNT)])
    said = [str(message.content) for message in chat.calls[0]]
    assert [said[1], said[-1]] == ["Question: How many singers are there?", "Question: Which names are there?"]
    assert COUNT in said[2]


def test_failure_of_the_model_is_raised() -> None:
    """A model that cannot be asked ends the run; nothing else is asked in its stead."""
    fault = ModelCallError("down", fault=ModelFault.UNREACHABLE, attempts=3)
    chat, database = ScriptedChat([fenced(BAD), fault]), table()
    with pytest.raises(ModelCallError) as caught:
        answer("Which names are there?", database=database, chat=chat)
    assert caught.value is fault
    assert len(chat.calls) == 2


def test_failure_of_the_database_is_raised() -> None:
    """A database that is gone is our fault, not the query's."""

    class Gone(TableDatabase):
        def run(self, sql: str) -> Observation:
            raise DatabaseError("gone")

    with pytest.raises(DatabaseError, match="gone"):
        answer("Which names?", database=Gone({}), chat=ScriptedChat([fenced(NAMES)]))


@pytest.mark.parametrize("question", ["", "  \n"])
def test_empty_question(question: str) -> None:
    """Nobody is asked an empty question."""
    with pytest.raises(EmptyQuestionError):
        answer(question, database=table(), chat=ScriptedChat([]))


@pytest.mark.parametrize("max_turns", [0, -1])
def test_max_turns_must_allow_one(max_turns: int) -> None:
    """An agent that may not execute anything is refused at birth."""
    with pytest.raises(UsageError, match="max_turns must be at least 1"):
        build_graph(chat=ScriptedChat([]), database=table(), max_turns=max_turns)


def compiled(*replies: Any, **options: Any) -> SqlGraph:
    """A graph over scripted replies."""
    return build_graph(chat=ScriptedChat(replies), database=table(), **(TUTORIAL | options))


def test_graph_is_the_tutorials() -> None:
    """Nodes and edges of the drawing are exactly those of the tutorial; dotted edges are conditional."""
    drawn = compiled().get_graph().draw_mermaid()
    edges = {tuple(re.split(r"\s+(-->|-\.->)\s+", line.strip(" \t;"))) for line in drawn.splitlines() if ">" in line}
    assert {edge for edge in edges if len(edge) == 3} == {
        ("__start__", "-->", "write_query"),
        ("write_query", "-->", "execute_query"),
        ("execute_query", "-->", "check_query"),
        ("check_query", "-.->", "__end__"),
        ("check_query", "-.->", "rewrite_query"),
        ("rewrite_query", "-->", "execute_query"),
    }
    assert set(TRAINED_NODES) == {"write_query", "rewrite_query"}


def test_tutorials_invocation() -> None:
    """`invoke({"question": …})` gives a state whose `query` is the answer."""
    final = compiled(fenced(BAD), NO, fenced(NAMES), YES).invoke({"question": "Which names are there?"})
    assert (final["query"], final["num_turns"], final["stop"]) == (NAMES, 2, "approved")


def test_state_is_small_and_json() -> None:
    """Every span carries the state: it holds no messages, no schema, no objects, and round-trips through JSON."""
    graph = compiled(fenced(BAD), NO, fenced(NONE), NO, fenced(NAMES))
    for state in graph.stream({"question": "Which names are there?"}, stream_mode="values"):
        text = json.dumps(state)
        assert json.loads(text) == state
        assert "CREATE TABLE" not in text
        assert len(text) < 2_500


def test_nodes_return_only_what_they_change() -> None:
    """Updates name the keys that a node changes, never the question or the whole state."""
    graph = compiled(fenced(BAD), NO, fenced(NAMES), YES)
    updates = [*graph.stream({"question": "Which names are there?"}, stream_mode="updates")]
    assert [next(iter(update)) for update in updates] == [
        "write_query", "execute_query", "check_query", "rewrite_query", "execute_query", "check_query"
    ]  # fmt: skip
    assert all("question" not in changed for update in updates for changed in update.values())
    assert set(updates[1]["execute_query"]) == {"attempts", "num_turns"}


def test_nodes_are_plain_functions() -> None:
    """Each node can be called with a state and what it works with, without LangGraph."""
    agent = Agent(chat=ScriptedChat([fenced(BAD), NO, fenced(NAMES)]), database=table(), **TUTORIAL)
    state: Any = {"question": "Which names are there?"}
    for node in (write_query, execute_query, check_query, rewrite_query, execute_query):
        state = state | node(state, agent)
    assert (state["query"], state["num_turns"]) == (NAMES, 2)
    assert [attempt["observation"]["row_count"] for attempt in state["attempts"]] == [0, 2]
    assert should_continue(state) == "rewrite_query"
    assert should_continue(state | {"stop": "approved"}) == "__end__"


def test_a_thread_answers_one_question_after_another() -> None:
    """With a checkpointer, a second question on the same thread starts afresh."""
    chat = ScriptedChat([fenced(NONE), NO, fenced(BAD), NO, fenced(NAMES), fenced(COUNT), YES])
    graph = build_graph(chat=chat, database=table(), **TUTORIAL).copy({"checkpointer": InMemorySaver()})
    config: Any = {"configurable": {"thread_id": "1"}}
    assert graph.invoke({"question": "Which names are there?"}, config)["num_turns"] == 3
    final = graph.invoke({"question": "How many?"}, config)
    assert (final["query"], final["num_turns"], final["stop"]) == (COUNT, 1, "approved")
    assert len(final["attempts"]) == 1


class Echo:
    """A chat model for many threads: answers each question with a query that names it."""

    def invoke(self, messages: Any, config: Any = None) -> AIMessage:
        """A query that holds the question's number, wrong until the rewrite."""
        number = re.search(r"Question: number (\d+)", str(messages[1].content))
        assert number is not None
        return AIMessage(fenced(f"SELECT {'good' if len(messages) > 2 else 'bad'}{number.group(1)}"))


def test_one_graph_serves_many_threads() -> None:
    """Questions asked at the same time do not mix."""
    answers = {f"SELECT good{number}": [{"n": number}] for number in range(200)}
    graph = build_graph(
        chat=Echo(), database=TableDatabase(answers), check=CheckMode.RULES, rewrite=RewriteForm.CONVERSATION
    )
    with ThreadPoolExecutor(8) as pool:
        finals = list(pool.map(lambda number: graph.invoke({"question": f"number {number}"}), range(200)))
    assert [final["query"] for final in finals] == [f"SELECT good{number}" for number in range(200)]


def test_schema_is_asked_for_once_a_question() -> None:
    """All prompts of a question hold one schema; the next question sees the database as it is then."""

    class Changing(TableDatabase):
        asked = 0

        def schema_text(self, question: str, *, budget_tokens: int, style: Any) -> str:
            self.asked += 1
            return f"CREATE TABLE version{self.asked} (a int);"

    database = Changing({NAMES: [{"name": "Joe"}]})
    chat = ScriptedChat([fenced(BAD), NO, fenced(NAMES), YES, fenced(NAMES), YES])
    graph = build_graph(chat=chat, database=database, **TUTORIAL)
    for _ in range(2):
        graph.invoke({"question": "Which names?"})
    versions = [re.findall(r"version\d", str(messages[0].content)) for messages in chat.calls]
    assert versions == [["version1"]] * 4 + [["version2"]] * 2


class Recorder(BaseCallbackHandler):
    """Which chain encloses each model call most closely, by name."""

    def __init__(self) -> None:
        self.names: dict[UUID, str] = {}
        self.enclosing: list[str] = []
        self.inputs: list[Any] = []

    def on_chain_start(self, serialized: Any, inputs: Any, *, run_id: UUID, **rest: Any) -> None:
        self.names[run_id] = rest["name"]
        self.inputs.append(inputs)

    def on_chat_model_start(
        self, serialized: Any, messages: Any, *, run_id: UUID, parent_run_id: UUID | None = None, **rest: Any
    ) -> None:
        assert parent_run_id is not None
        self.enclosing.append(self.names[parent_run_id])


@pytest.mark.parametrize("give", ["answer", "invoke"])
def test_tracers_see_the_node_around_each_call(give: str) -> None:
    """The nearest chain around a call is its node, which is how the calls to train are told from the checks."""
    replies, recorder = [fenced(BAD), NO, fenced(NONE), NO, fenced(NAMES)], Recorder()
    if give == "answer":
        play(*replies, callbacks=[recorder])
    else:
        compiled(*replies).invoke({"question": "Which names are there?"}, {"callbacks": [recorder]})
    assert recorder.enclosing == ["write_query", "check_query", "rewrite_query", "check_query", "rewrite_query"]
    trained = [name for name in recorder.enclosing if re.search(r"^(write|rewrite)_query$", name)]
    assert trained == ["write_query", "rewrite_query", "rewrite_query"]
    assert "sql_agent" in recorder.names.values()


def test_endpoint_calls_are_seen_the_same(reply_with: Callable[..., Any]) -> None:
    """A model behind an endpoint is enclosed as a scripted one is, retries included."""
    from sql_graph import open_chat

    endpoint = reply_with(fenced(BAD), NO, fenced(NAMES), YES)
    recorder = Recorder()
    chat = open_chat(model="m", base_url=endpoint.url)
    answer("Which names?", database=table(), chat=chat, callbacks=[recorder], **TUTORIAL)
    assert recorder.enclosing == ["write_query", "check_query", "rewrite_query", "check_query"]


def test_scripted_chat_fails_loudly() -> None:
    """A call beyond the script names itself."""
    with pytest.raises(ScriptError, match="call 2 of a ScriptedChat with 1 replies"):
        answer("Which names?", database=table(), chat=ScriptedChat([fenced(NAMES)]), check=CheckMode.LLM)


@pytest.mark.parametrize(
    ("replies", "options"),
    [
        (["SELECT 1", "VERDICT: CORRECT"], TUTORIAL),
        (["SELECT 1", "Wrong.\nVERDICT: INCORRECT", "SELECT 2", "VERDICT: CORRECT"], TUTORIAL),
        (["SELECT 3", "Fails.\nVERDICT: INCORRECT", "SELECT 3"], TUTORIAL),
        (["SELECT 3", "Fails.\nVERDICT: INCORRECT", "I cannot."], TUTORIAL),
        (["SELECT 1", "No.\nVERDICT: INCORRECT", "SELECT 2", "No.\nVERDICT: INCORRECT", "SELECT 3"], TUTORIAL),
        (["I cannot."], {}),
        (["SELECT 3", "SELECT 3", "I cannot.", "SELECT 1"], {}),
    ],
    ids=["approved", "rewritten", "repeated", "no rewrite", "last turn", "no query", "asked again"],
)
def test_the_walk_is_the_graph(replies: list[str], options: dict[str, Any]) -> None:
    """What the command line walks gives the answer, and the changes of each node, that LangGraph gives."""
    database = TableDatabase({"SELECT 1": [{"1": 1}], "SELECT 2": [{"2": 2}]})
    by_graph, by_walk = (Agent(database=database, chat=ScriptedChat(list(replies)), **options) for _ in range(2))
    seen: list[list[Any]] = [[], []]
    history = [("none?", "SELECT 0")]
    drawn = run_agent(by_graph, "one?", history=history, on_update=seen[0].append)
    walked = walk(by_walk, "one?", history=history, on_update=seen[1].append)
    assert drawn.to_dict() == walked.to_dict()
    assert seen[0] == seen[1]


def test_the_graph_has_schemas() -> None:
    """What a server of LangGraph shows of the graph (its input, its output) can be made on every Python version."""
    graph = build_graph(database=TableDatabase({}), chat=ScriptedChat([]))
    assert graph.get_input_jsonschema()["required"] == ["question"]
    assert {"query", "attempts", "stop"} <= set(graph.get_output_jsonschema()["properties"])
