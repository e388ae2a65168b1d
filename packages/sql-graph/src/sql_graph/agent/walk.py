"""Run the agent without LangGraph: the same nodes in the same order, for the command line.

Importing LangGraph takes longer than most answers, and a command does not need what LangGraph adds (checkpoints,
callbacks, traces, threads); `sql_graph.agent.graph` has all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from sql_graph.agent.ledger import Ledger
from sql_graph.agent.nodes import CHECK, NODES, WAYS, WRITE, Agent, should_continue
from sql_graph.agent.state import SqlAnswer, SqlState, answer_from_state, history_records
from sql_graph.agent.voting import vote

END = "__end__"
"""LangGraph's name for the end, which `should_continue` uses."""


def walk(
    agent: Agent,
    question: str,
    *,
    history: Sequence[tuple[str, str]] = (),
    on_update: Callable[[dict[str, Any]], None] | None = None,
    on_sample: Callable[[int], None] = lambda sample: None,
) -> SqlAnswer:
    """Answer one question as `run_agent` does; raises as `answer` does.

    `on_update` is given each node's changes, `{node: changed keys}`, as they happen, and `on_sample` the number of
    each sample that votes before it begins.
    """

    def once(agent: Agent) -> SqlAnswer:
        ledger = Ledger()
        state = _walked(replace(agent, ledger=ledger), question, history, on_update)
        return ledger.complete(answer_from_state(state))

    return vote(agent, once, on_sample=on_sample)


def _walked(
    agent: Agent,
    question: str,
    history: Sequence[tuple[str, str]],
    on_update: Callable[[dict[str, Any]], None] | None,
) -> SqlState:
    """The final state of one run."""
    state: SqlState = {"question": question}
    if history:
        state["history"] = history_records(history)
    node = WRITE
    while node != END:
        changes = NODES[node](state, agent)
        state = {**state, **changes}
        if on_update is not None:
            on_update({node: dict(changes)})
        node = should_continue(state) if node == CHECK else WAYS[node]
    return state
