"""The four nodes and the way on, as plain functions from a state to the keys they change.

A node calls `chat.invoke(messages)` directly and synchronously: no chain, no structured output, no retry wrapper in
between. Tracers see the nearest enclosing chain, which therefore is the node, and Agent-lightning's `agent_match`
picks the calls to train by that name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from sql_graph.checks import rule_feedback
from sql_graph.errors import UsageError
from sql_graph.parse import message_text, read_reply
from sql_graph.ports import ChatModel, Database, Observation
from sql_graph.prompts import PromptBudget, Task, check_messages, rewrite_messages, write_messages
from sql_graph.sqltext import same_query
from sql_graph.state import (
    AttemptRecord,
    CheckMode,
    ObservationRecord,
    PromptStyle,
    SqlState,
    StopReason,
    from_record,
    to_record,
)
from sql_graph.verdict import CheckVerdict, checker_remarks, parse_verdict

WRITE, EXECUTE, CHECK, REWRITE = "write_query", "execute_query", "check_query", "rewrite_query"


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """What the nodes work with and never put into the state: the model, the database, the limits.

    Raises:
        UsageError: `max_turns` is below 1.
    """

    chat: ChatModel
    database: Database
    max_turns: int = 3
    """Queries executed at most."""
    check: CheckMode = CheckMode.LLM
    style: PromptStyle = PromptStyle.FULL
    budget: PromptBudget = field(default_factory=PromptBudget)

    def __post_init__(self) -> None:
        if self.max_turns < 1:
            raise UsageError(f"max_turns must be at least 1, the first query, got {self.max_turns!r}")

    def task(self, state: SqlState) -> Task:
        """What all prompts of this question share. The same each time: the database caches its schema."""
        return self.budget.task(
            self.database, state.get("question", ""), style=self.style, history=state.get("history", [])
        )


def write_query(state: SqlState, agent: Agent) -> SqlState:
    """Ask for the first query. Also sets every other key anew, as a thread may hold those of an earlier question."""
    reply = read_reply(agent.chat.invoke(write_messages(agent.task(state))))
    return {
        "query": reply.sql,
        "node": WRITE,
        "replied": reply.sql is not None,
        "cut": reply.cut,
        "observation": None,
        "feedback": "",
        "num_turns": 0,
        "attempts": [],
        "stop": None,
    }


def execute_query(state: SqlState, agent: Agent) -> SqlState:
    """Run the query of the last reply, unless there is none or it ran before: then say why the agent ends."""
    sql = state.get("query")
    if sql is None or not state.get("replied"):
        return {"stop": StopReason.CUT if state.get("cut") else StopReason.NO_SQL}
    if seen := _seen(state, sql):
        return {"observation": seen, "stop": StopReason.REPEATED}
    return {"observation": to_record(agent.database.run(sql)), "num_turns": state.get("num_turns", 0) + 1}


def check_query(state: SqlState, agent: Agent) -> SqlState:
    """Decide whether the query is good enough, and close the record of this attempt.

    Nobody is asked when the answer cannot matter: the agent ends anyway, or this was the last turn.
    """
    stop, feedback = state.get("stop"), ""
    if stop is None:
        feedback = "" if _last_turn(state, agent) else _feedback(state, agent)
        stop = StopReason.MAX_TURNS if _last_turn(state, agent) else None if feedback else StopReason.APPROVED
    attempt = AttemptRecord(
        node=state.get("node", WRITE),
        query=state.get("query") if state.get("replied") else None,
        cut=state.get("cut", False),
        observation=state.get("observation") if state.get("replied") else None,
        feedback=feedback,
    )
    return {"feedback": feedback, "stop": stop, "attempts": [*state.get("attempts", []), attempt]}


def rewrite_query(state: SqlState, agent: Agent) -> SqlState:
    """Ask for a better query, given what the last one showed. A reply without SQL leaves the last query as it is."""
    sql = state.get("query") or ""
    task = agent.task(state)
    outcome = agent.budget.outcome(task, sql=sql, seen=_observation(state), feedback=state.get("feedback", ""))
    reply = read_reply(agent.chat.invoke(rewrite_messages(task, outcome)))
    changed: SqlState = {"node": REWRITE, "replied": reply.sql is not None, "cut": reply.cut}
    if reply.sql is not None:
        changed["query"] = reply.sql
    return changed


def should_continue(state: SqlState) -> Literal["rewrite_query", "__end__"]:
    """The way on from `check_query`: to the end when there is a reason to stop, else to a rewrite."""
    return "__end__" if state.get("stop") else "rewrite_query"


def _feedback(state: SqlState, agent: Agent) -> str:
    """What is wrong with the query, for the model; empty when nothing is.

    A checker without a verdict is taken at the database's word: a query that ran is approved, one that failed is
    not. No verdict can approve a query that failed.
    """
    observation = _observation(state)
    if observation is None:
        return ""
    by_rules = rule_feedback(state.get("question", ""), observation)
    if agent.check is CheckMode.RULES or (agent.check is CheckMode.BOTH and by_rules):
        return by_rules
    task = agent.task(state)
    outcome = agent.budget.outcome(task, sql=state.get("query") or "", seen=observation)
    reply = message_text(agent.chat.invoke(check_messages(task, outcome)))
    if observation.ran and parse_verdict(reply) is not CheckVerdict.INCORRECT:
        return ""
    return checker_remarks(reply) or by_rules or "The query does not answer the question."


def _last_turn(state: SqlState, agent: Agent) -> bool:
    return state.get("num_turns", 0) >= agent.max_turns


def _seen(state: SqlState, sql: str) -> ObservationRecord | None:
    """What this query showed when it was executed before, if it was."""
    for attempt in state.get("attempts", []):
        if attempt["query"] is not None and same_query(attempt["query"], sql):
            return attempt["observation"]
    return None


def _observation(state: SqlState) -> Observation | None:
    record = state.get("observation")
    return None if record is None else from_record(record)
