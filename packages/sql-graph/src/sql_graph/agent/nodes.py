"""The four nodes and the edges between them, as plain functions from a state to the keys that they change.

A node calls `chat.invoke(messages)` synchronously (`Agent.invoke` only notes the reply): no chain, no structured
output, no retry wrapper in between. Tracers see the nearest enclosing chain, which therefore is the node, and
Agent-lightning's `agent_match` picks the calls to train by that name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, cast

from sql_graph.agent.checks import rule_feedback
from sql_graph.agent.prompts import (
    PromptBudget,
    Task,
    check_messages,
    lesson_messages,
    rewrite_messages,
    write_messages,
)
from sql_graph.agent.state import (
    AttemptRecord,
    SqlState,
    StopReason,
    best_attempt,
    from_record,
    read_attempts,
    to_record,
)
from sql_graph.agent.tokens import holds_note
from sql_graph.errors import UsageError
from sql_graph.options import CheckMode, PromptStyle, RewriteForm
from sql_graph.parse import message_text, read_reply
from sql_graph.ports import ChatModel, Database, HintingDatabase, MendingDatabase, Observation, ObservationStatus
from sql_graph.sqltext import same_query
from sql_graph.verdict import CheckVerdict, checker_remarks, parse_verdict

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage

    from sql_graph.agent.ledger import Ledger

MAX_KEPT_TASKS = 64
"""Questions that one agent works on at the same time before their prompts' common part is made again."""
WRITE, EXECUTE, CHECK, REWRITE = "write_query", "execute_query", "check_query", "rewrite_query"


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """What the nodes work with and never put into the state: the model, the database, the limits.

    Raises:
        UsageError: `max_turns` or `votes` is below 1.
    """

    chat: ChatModel
    database: Database
    max_turns: int = 3
    """Queries executed at most."""
    votes: int = 1
    """Samples of the answer that vote by their results; 1 asks once. See `sql_graph.agent.voting`."""
    check: CheckMode = CheckMode.RULES
    rewrite: RewriteForm = RewriteForm.LESSON
    rewrite_temperature: float = 0.8
    """LESSON: from the second rewrite on, a model whose own temperature is 0 is asked with this one."""
    style: PromptStyle = PromptStyle.FULL
    budget: PromptBudget = field(default_factory=PromptBudget)
    ledger: Ledger | None = None
    """Notes calls and results of one answer; None where nobody will ask for them."""
    _tasks: dict[object, Task] = field(default_factory=dict[object, Task], init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.max_turns < 1:
            raise UsageError(
                f"max_turns must be at least 1, the first query, got {self.max_turns!r}", argument="max_turns"
            )
        if self.votes < 1:
            raise UsageError(f"votes must be at least 1, the only answer, got {self.votes!r}", argument="votes")

    @property
    def max_replies(self) -> int:
        """Queries asked for at most, those included that repeat an earlier one."""
        return 2 * self.max_turns - 1 if self.rewrite is RewriteForm.LESSON else self.max_turns + 1

    def invoke(self, node: str, messages: list[BaseMessage], *, temperature: float | None = None) -> BaseMessage:
        """The model's reply to a node, at its own or at another `temperature`, noted in the ledger."""
        if temperature is None:
            reply = self.chat.invoke(messages)
        else:
            reply = cast("Any", self.chat).invoke(messages, temperature=temperature)
        if self.ledger is not None:
            self.ledger.replied(node, reply)
        return reply

    def run(self, sql: str) -> Observation:
        """What a query gave, noted in the ledger; one that holds a note of ours never reaches the database."""
        if holds_note(sql):  # a model copied it out of a prompt
            text = "Refused: the query holds a note that something was left out. Write the query whole."
            observation = Observation(status=ObservationStatus.REFUSED, text=text)
        else:
            observation = self.database.run(sql)
        if self.ledger is not None:
            self.ledger.executed(sql, observation)
        return observation

    def task(self, state: SqlState, *, anew: bool = False) -> Task:
        """What all prompts of this question share: made `anew` at its start, then kept, so that they stay alike."""
        question, history = state.get("question", ""), state.get("history", [])
        key = (question, tuple((record["question"], record["query"]) for record in history))
        task = None if anew else self._tasks.get(key)
        if task is None:
            task = self.budget.task(self.database, question, style=self.style, history=history)
            if len(self._tasks) >= MAX_KEPT_TASKS:
                self._tasks.clear()
            self._tasks[key] = task
        return task


def write_query(state: SqlState, agent: Agent) -> SqlState:
    """Ask for the first query. Also sets every other key anew, as a thread may hold those of an earlier question."""
    attempt = _ask(agent, WRITE, write_messages(agent.task(state, anew=True)))
    return {"query": attempt["query"], "num_turns": 0, "attempts": [attempt], "stop": None}


def execute_query(state: SqlState, agent: Agent) -> SqlState:
    """Run the query of the last reply, unless there is none or it ran before.

    Then the agent ends, and this says why; but while no query ran, LESSON asks again as long as replies remain.
    """
    *earlier, latest = state.get("attempts", [])
    attempt = latest.copy()
    sql = attempt["query"]
    best = best_attempt(read_attempts({"attempts": earlier}))
    failed = best is not None and best.observation is not None and not best.observation.ran
    again = failed and agent.rewrite is RewriteForm.LESSON and len(earlier) + 1 < agent.max_replies
    if sql is None:
        return {"stop": None} if again else {"stop": StopReason.CUT if attempt["cut"] else StopReason.NO_SQL}
    for before in earlier:
        if before["query"] is not None and any(same_query(said, sql) for said in (before["query"], _written(before))):
            known: AttemptRecord = {**attempt, "observation": before["observation"], "feedback": before["feedback"]}
            if "written" in before:
                known["query"], known["written"] = before["query"], sql
            changed = _answered(state, [*earlier, known])
            return changed if again else {**changed, "stop": StopReason.REPEATED}
    observation = agent.run(sql)
    if (meant := _meant(agent, sql, observation)) is not None:
        attempt["query"], attempt["written"] = meant, sql
        observation = agent.run(meant)
    return {
        **_answered(state, [*earlier, {**attempt, "observation": to_record(observation)}]),
        "num_turns": state.get("num_turns", 0) + 1,
    }


def check_query(state: SqlState, agent: Agent) -> SqlState:
    """Decide whether the query is good enough; if not, write down why.

    Nobody is asked when the answer cannot matter: the agent ends anyway, or this was the last turn.
    """
    if state.get("stop"):
        return {"stop": state.get("stop")}
    if state.get("num_turns", 0) >= agent.max_turns:
        return {"stop": StopReason.MAX_TURNS}
    *earlier, attempt = state.get("attempts", [])
    if attempt["observation"] is None or attempt["feedback"]:
        return {"stop": None}  # no query, or one that ran before and was not approved: it is asked for again
    feedback = _feedback(state, agent)
    if not feedback:
        return {"stop": StopReason.APPROVED}
    judged: AttemptRecord = {**attempt, "feedback": feedback}
    if hints := _hints(agent, attempt):
        judged["hints"] = hints
    return {"attempts": [*earlier, judged]}


def rewrite_query(state: SqlState, agent: Agent) -> SqlState:
    """Ask for a better query, given what the earlier ones showed."""
    attempts = state.get("attempts", [])
    task, last = agent.task(state), attempts[-1]
    if agent.rewrite is RewriteForm.LESSON:
        lessons = agent.budget.lessons(task, [lesson for attempt in attempts for lesson in _lessons(attempt)])
        attempt = _ask(agent, REWRITE, lesson_messages(task, lessons), rewritten=len(attempts) - 1)
    else:
        text = last["observation"]["text"] if last["observation"] else ""
        outcome = agent.budget.outcome(task, sql=last["query"] or "", observation=text, feedback=last["feedback"])
        attempt = _ask(agent, REWRITE, rewrite_messages(task, outcome))
    return {"attempts": [*attempts, attempt]}


def should_continue(state: SqlState) -> Literal["rewrite_query", "__end__"]:
    """The way on from `check_query`: to the end when there is a reason to stop, else to a rewrite."""
    return "__end__" if state.get("stop") else "rewrite_query"


NODES = {WRITE: write_query, EXECUTE: execute_query, CHECK: check_query, REWRITE: rewrite_query}
"""Each node's function, in the order in which the graph is drawn."""
WAYS = {WRITE: EXECUTE, EXECUTE: CHECK, REWRITE: EXECUTE}
"""Which node follows which; `check_query` is followed by what `should_continue` says."""


def _answered(state: SqlState, attempts: list[AttemptRecord]) -> SqlState:
    """The attempts, and the query of the best of them."""
    best = best_attempt(read_attempts({"attempts": attempts}))
    changed: SqlState = {"attempts": attempts}
    if best is not None and best.sql != state.get("query"):
        changed["query"] = best.sql
    return changed


def _written(attempt: AttemptRecord) -> str:
    """The query as the model wrote it."""
    return attempt.get("written") or attempt["query"] or ""


def _meant(agent: Agent, sql: str, observation: Observation) -> str | None:
    """The query that was meant by one that failed, where that is certain; in CONVERSATION the model's words stand."""
    if agent.rewrite is not RewriteForm.LESSON or observation.status is not ObservationStatus.ERROR:
        return None
    return agent.database.mended(sql, observation) if isinstance(agent.database, MendingDatabase) else None


def _hints(agent: Agent, attempt: AttemptRecord) -> list[str]:
    """What the database knows about a query that was not approved; CONVERSATION has no place for it."""
    if agent.rewrite is not RewriteForm.LESSON or attempt["query"] is None or attempt["observation"] is None:
        return []
    if not isinstance(agent.database, HintingDatabase):
        return []
    return list(agent.database.hints(attempt["query"], from_record(attempt["observation"])))


def _lessons(attempt: AttemptRecord) -> list[str]:
    """What an attempt teaches: the hints, else the database's own words where it failed, else the feedback."""
    if hints := attempt.get("hints"):
        return hints
    if attempt["observation"] is None:
        return []
    ran = from_record(attempt["observation"]).ran
    return [attempt["feedback"] if ran else attempt["observation"]["text"]]


def _ask(agent: Agent, node: str, messages: list[BaseMessage], *, rewritten: int = 0) -> AttemptRecord:
    """The model's reply; `rewritten` counts the rewrites that came to nothing before."""
    heated = rewritten and getattr(agent.chat, "temperature", None) == 0
    reply = read_reply(agent.invoke(node, messages, temperature=agent.rewrite_temperature if heated else None))
    record: AttemptRecord = {
        "node": node, "query": reply.sql, "cut": reply.cut, "observation": None, "feedback": ""
    }  # fmt: skip
    if reply.sql is None:
        record["reply"], record["only_reasoning"] = reply.words, reply.only_reasoning
    return record


def _feedback(state: SqlState, agent: Agent) -> str:
    """What is wrong with the last query, for the model; empty when nothing is.

    Without a checker's verdict the database decides: a query that ran is approved, a query that failed is not. No
    verdict can approve a query that failed.
    """
    attempt = state.get("attempts", [])[-1]
    if attempt["observation"] is None:
        return ""
    observation = from_record(attempt["observation"])
    if agent.check is CheckMode.NONE and observation.ran:
        return ""
    by_rules = rule_feedback(state.get("question", ""), observation)
    if agent.check is CheckMode.NONE:
        return by_rules
    if agent.check is CheckMode.RULES or (agent.check is CheckMode.BOTH and by_rules):
        return by_rules
    task = agent.task(state)
    outcome = agent.budget.outcome(task, sql=attempt["query"] or "", observation=observation.text)
    reply = message_text(agent.invoke(CHECK, check_messages(task, outcome)))
    if observation.ran and parse_verdict(reply) is not CheckVerdict.INCORRECT:
        return ""
    return checker_remarks(reply) or by_rules or "The query does not answer the question."
