"""The agent as a LangGraph graph, and the one-call form of it.

__start__ → write_query → execute_query → check_query → __end__
                               ↑               ↓
                               └──── rewrite_query
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph  # pyright: ignore[reportMissingTypeStubs]  langgraph ships types
from langgraph.graph.state import CompiledStateGraph  # pyright: ignore[reportMissingTypeStubs]  langgraph ships types

from sql_graph.agent.ledger import Ledger
from sql_graph.agent.nodes import (
    CHECK,
    NODES,
    REWRITE,
    WAYS,
    WRITE,
    Agent,
    should_continue,
)
from sql_graph.agent.prompts import PromptBudget
from sql_graph.agent.state import SqlAnswer, SqlInput, SqlState, answer_from_state, history_records
from sql_graph.agent.voting import vote
from sql_graph.errors import UsageError
from sql_graph.options import CheckMode, PromptStyle, RewriteForm
from sql_graph.ports import ChatModel, Database

if TYPE_CHECKING:
    from langchain_core.callbacks import BaseCallbackHandler
    from langgraph.types import StreamMode  # pyright: ignore[reportMissingTypeStubs]  langgraph ships types

TRAINED_NODES = (WRITE, REWRITE)
"""The nodes whose replies are trained; `check_query` never is."""
GRAPH_NAME = "sql_agent"
VOTE = "vote"
STEPS_PER_TURN = 3
_AGENT = "__sql_graph_agent"
"""The key of the bound agent. LangGraph copies no key that begins so into metadata, spans or checkpoints."""

SqlGraph = CompiledStateGraph[SqlState, None, SqlInput, SqlState]
"""Invoke with `{"question": …}`; the final state holds `query`, `num_turns`, `stop`, `attempts`."""


def build_graph(
    *,
    chat: ChatModel,
    database: Database,
    max_turns: int = 3,
    check: CheckMode = CheckMode.RULES,
    style: PromptStyle = PromptStyle.FULL,
    rewrite: RewriteForm = RewriteForm.LESSON,
    prompt_budget_tokens: int = PromptBudget().total_tokens,
    votes: int = 1,
) -> SqlGraph:
    """The compiled graph, bound to a model and a database. Binding them costs next to nothing.

    `prompt_budget_tokens` bounds every prompt, as `estimate_tokens` counts; choose the model's context less the
    reply. `max_turns` bounds executed queries, and so the queries asked for, repeated ones included: at most
    `2 * max_turns - 1`. With `votes` above 1 the graph has the one node `vote`, which runs the agent up to so many
    times; its state also holds `agreement`.

    Raises:
        UsageError: `max_turns` or `votes` is below 1.
    """
    return bind(
        Agent(
            chat=chat,
            database=database,
            max_turns=max_turns,
            votes=votes,
            check=CheckMode(check),
            rewrite=RewriteForm(rewrite),
            style=PromptStyle(style),
            budget=PromptBudget(total_tokens=prompt_budget_tokens),
        )
    )


def bind(agent: Agent) -> SqlGraph:
    """The graph of the drawing above, its nodes working with `agent`; one around it where samples vote."""
    graph = _compiled() if agent.votes == 1 else _voting()
    return graph.with_config(configurable={_AGENT: agent}, recursion_limit=STEPS_PER_TURN * agent.max_replies + 5)


@lru_cache(maxsize=1)
def _compiled() -> SqlGraph:
    """The graph without model or database. Compiling takes as long as a turn, so it is done once."""
    graph = StateGraph(SqlState, input_schema=SqlInput)
    for name, node in NODES.items():
        graph.add_node(name, cast("Any", _with_agent(node)))  # pyright: ignore[reportUnknownMemberType]  LangGraph leaves it open
    graph.add_edge(START, WRITE)
    for name, follower in WAYS.items():
        graph.add_edge(name, follower)
    graph.add_conditional_edges(CHECK, should_continue, [REWRITE, END])
    return graph.compile(name=GRAPH_NAME)  # pyright: ignore[reportUnknownMemberType]  LangGraph leaves it open


@lru_cache(maxsize=1)
def _voting() -> SqlGraph:
    """A graph whose only node runs the other several times."""
    graph = StateGraph(SqlState, input_schema=SqlInput)
    graph.add_node(VOTE, cast("Any", _with_agent(_vote)))  # pyright: ignore[reportUnknownMemberType]  LangGraph leaves it open
    graph.add_edge(START, VOTE)
    graph.add_edge(VOTE, END)
    return graph.compile(name=GRAPH_NAME)  # pyright: ignore[reportUnknownMemberType]  LangGraph leaves it open


def _vote(state: SqlState, agent: Agent) -> SqlState:
    """The final state of the sample that was elected, and how many agree with it."""
    finals: list[SqlState] = []

    def once(agent: Agent) -> SqlAnswer:
        ledger = Ledger()
        given: SqlInput = {"question": state.get("question", ""), "history": state.get("history", [])}
        finals.append(cast("SqlState", bind(replace(agent, ledger=ledger)).invoke(given)))  # pyright: ignore[reportUnknownMemberType]  LangGraph leaves it open
        return ledger.complete(answer_from_state(finals[-1]))

    found = vote(agent, once)
    return {**finals[found.chosen], "agreement": found.agreement or 0.0}


def _with_agent(node: Callable[[SqlState, Agent], SqlState]) -> Callable[[SqlState, RunnableConfig], SqlState]:
    """A node as LangGraph calls it: what it works with arrives beside the state, never in it."""

    def call(state: SqlState, config: RunnableConfig) -> SqlState:
        return node(state, config["configurable"][_AGENT])  # pyright: ignore[reportTypedDictNotRequiredAccess]  see bind

    return call


def answer(
    question: str,
    *,
    database: Database,
    chat: ChatModel,
    max_turns: int = 3,
    callbacks: Sequence[BaseCallbackHandler] = (),
    check: CheckMode = CheckMode.RULES,
    style: PromptStyle = PromptStyle.FULL,
    rewrite: RewriteForm = RewriteForm.LESSON,
    prompt_budget_tokens: int = PromptBudget().total_tokens,
    history: Sequence[tuple[str, str]] = (),
    votes: int = 1,
) -> SqlAnswer:
    """Answer one question. `callbacks` are LangChain's, and see every node and model call.

    `history` holds earlier (question, sql) pairs of a conversation, oldest first. With `votes` above 1, up to so many
    samples, the first of them greedy, vote by their results, and `SqlAnswer.agreement` says how many agree; see
    `sql_graph.agent.voting`.

    Raises:
        UsageError: an argument makes no sense, or question and schema do not fit in the budget.
        DatabaseError: the database failed. A query that failed is in the answer instead.
        ModelCallError: the model could not be asked.
    """
    agent = Agent(
        chat=chat,
        database=database,
        max_turns=max_turns,
        votes=votes,
        check=CheckMode(check),
        rewrite=RewriteForm(rewrite),
        style=PromptStyle(style),
        budget=PromptBudget(total_tokens=prompt_budget_tokens),
    )
    return run_agent(agent, question, history=history, callbacks=callbacks)


def run_agent(
    agent: Agent,
    question: str,
    *,
    history: Sequence[tuple[str, str]] = (),
    callbacks: Sequence[BaseCallbackHandler] = (),
    on_update: Callable[[dict[str, Any]], None] | None = None,
    on_sample: Callable[[int], None] = lambda sample: None,
) -> SqlAnswer:
    """Answer one question with the graph of `agent`, as `run_graph` does; the answer holds its rows and calls.

    `on_sample` is given the number of each sample that votes before it begins.
    """

    def once(agent: Agent) -> SqlAnswer:
        ledger = Ledger()
        graph = bind(replace(agent, ledger=ledger))
        return ledger.complete(run_graph(graph, question, history=history, callbacks=callbacks, on_update=on_update))

    return vote(agent, once, on_sample=on_sample)


def run_graph(
    graph: SqlGraph,
    question: str,
    *,
    history: Sequence[tuple[str, str]] = (),
    callbacks: Sequence[BaseCallbackHandler] = (),
    on_update: Callable[[dict[str, Any]], None] | None = None,
) -> SqlAnswer:
    """Answer one question with a graph of `build_graph`, from its state alone; raises as `answer` does.

    `on_update` is given each node's changes, `{node: changed keys}`, as they happen.
    """
    given: SqlInput = {"question": question}
    if history:
        given["history"] = history_records(history)
    config: RunnableConfig = {"callbacks": list(callbacks)}
    final: Any = {}
    modes: list[StreamMode] = ["values"] if on_update is None else ["values", "updates"]
    for mode, part in graph.stream(given, config, stream_mode=modes):  # pyright: ignore[reportUnknownMemberType]  LangGraph leaves it open
        if mode == "values":
            final = part
        elif on_update is not None:
            on_update(cast("dict[str, Any]", part))
    return answer_from_state(cast("SqlState", final))


def build_langgraph_sql_agent(
    database_path: str | os.PathLike[str],
    openai_base_url: str | None,
    model: str,
    sampling_parameters: Mapping[str, Any] | None = None,
    max_turns: int = 3,
    truncate_length: int = 2048,
    *,
    check: CheckMode = CheckMode.RULES,
    rewrite: RewriteForm = RewriteForm.LESSON,
) -> SqlGraph:
    """The tutorial's form: from a database and an endpoint to a graph for `.invoke({"question": …})`.

    `database_path` is a file or a SQLAlchemy URL. `truncate_length` bounds, in characters, what the model is shown of
    a result. The final state holds the query under `query`, as in the tutorial.

    Raises:
        UsageError: an argument makes no sense, for example an unknown sampling parameter.
        DatabaseError: there is no such database, or it cannot be opened.
    """
    from sql_graph.agent.chat import open_chat
    from sql_graph.databases.database import SqlDatabase

    if truncate_length < 1:
        raise UsageError(
            f"truncate_length must be at least 1 character, got {truncate_length!r}", argument="truncate_length"
        )
    database = SqlDatabase(database_path)
    chat = open_chat(model=model, base_url=openai_base_url, sampling_parameters=sampling_parameters)
    budget = PromptBudget(max_observation_chars=truncate_length)
    return bind(Agent(chat=chat, database=database, max_turns=max_turns, check=check, rewrite=rewrite, budget=budget))
