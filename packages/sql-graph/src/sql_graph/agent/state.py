"""What travels through the graph, and what comes out of it.

The graph's state holds only what changes in a run, as small JSON values: every node's span carries the whole state,
and a checkpointer stores it. The model, the database and the limits stay outside (`nodes.Agent`). What comes out,
`SqlAnswer`, is typed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NotRequired

from typing_extensions import TypedDict  # pydantic, which makes the graph's schemas, takes no other before Python 3.12

from sql_graph.agent.calls import Call, total
from sql_graph.cells import json_value
from sql_graph.ports import Observation, ObservationStatus

if TYPE_CHECKING:
    import pandas  # pyright: ignore[reportMissingTypeStubs]  pandas ships no stubs


class StopReason(StrEnum):
    """Why the agent ended. Each is an ordinary end."""

    APPROVED = "approved"
    """The check found nothing wrong with the last query."""
    MAX_TURNS = "max_turns"
    """`max_turns` queries were executed."""
    REPEATED = "repeated"
    """A rewrite gave a query that had been executed already, and nothing else was to be had."""
    NO_SQL = "no_sql"
    """The reply held no SQL. Nothing of it reached the database."""
    CUT = "cut"
    """The reply was cut by the length limit before its query ended. Nothing of it reached the database."""


class HistoryRecord(TypedDict):
    """An earlier question of the same conversation, and the query that answered it."""

    question: str
    query: str


class ObservationRecord(TypedDict):
    """`Observation` as JSON."""

    status: str
    text: str
    columns: list[str]
    row_count: int
    truncated: bool
    seconds: float


class AttemptRecord(TypedDict):
    """`Attempt` as JSON."""

    node: str
    query: str | None
    cut: bool
    observation: ObservationRecord | None
    feedback: str
    reply: NotRequired[str]
    only_reasoning: NotRequired[bool]
    hints: NotRequired[list[str]]
    written: NotRequired[str]


class SqlInput(TypedDict):
    """What the graph is invoked with."""

    question: str
    history: NotRequired[list[HistoryRecord]]


class SqlState(TypedDict, total=False):
    """The keys that change in a run. Each node returns only those it changes."""

    question: str
    history: list[HistoryRecord]
    query: str | None
    """The answer so far: the query of `best_attempt`, or the newest one until it is executed."""
    num_turns: int
    """Queries executed so far."""
    attempts: list[AttemptRecord]
    """One record for each reply, oldest first. The last is the current one, filled in by node after node."""
    stop: str | None
    """A `StopReason`, once there is one."""
    agreement: float
    """Where samples voted: the share of those that agree with the answer, in [0, 1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One reply of the model and what came of it."""

    node: str
    """The node that asked for it: `write_query` or `rewrite_query`."""
    sql: str | None
    """The query in the reply; None when it held none."""
    cut: bool
    """Whether the length limit cut the reply (`finish_reason == "length"`)."""
    observation: Observation | None
    """What executing it showed; None when it was not executed."""
    feedback: str
    """Why it was not approved; empty when it was, or when nobody was asked."""
    reply: str = ""
    """The model's own words where they hold no query, at most 2,000 characters; else empty."""
    only_reasoning: bool = False
    """Whether `reply` is reasoning (`reasoning_content`, `<think>`) beside which the model gave no answer."""
    hints: tuple[str, ...] = ()
    """What the database knows that helps to mend the query: where a name lives, how a value is spelled."""
    written: str | None = None
    """The query as the model wrote it, where `sql` has confused qualifiers set right; else None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlAnswer:
    """What the agent made of a question."""

    question: str
    sql: str | None
    """The query of `best_attempt`; None when no reply held one."""
    turns: int
    """Queries executed."""
    stop: StopReason
    attempts: tuple[Attempt, ...]
    """One for each reply, oldest first; at least one."""
    calls: tuple[Call, ...] = ()
    """Every call of the model in order, with its tokens and its reasoning; empty where only the state is known."""
    result: Observation | None = field(default=None, repr=False)
    """What executing `sql` showed, rows included; None where it was not executed or only the state is known."""
    agreement: float | None = None
    """The share of the samples whose result is that of `sql`, in [0, 1]; None where nobody voted."""
    samples: tuple[SqlAnswer, ...] = ()
    """The answers that voted, the greedy one first, without their rows; empty where nobody voted."""
    chosen: int = 0
    """Which of `samples` was elected, counted from 0."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the result's columns, in order; empty when `sql` did not run."""
        return self.observation.columns if self.observation is not None else ()

    @property
    def rows(self) -> tuple[tuple[Any, ...], ...]:
        """The rows of the result as Python values, up to `DatabaseLimits.max_rows`; empty when `sql` did not run."""
        return self.result.rows if self.result is not None else ()

    @property
    def more_rows(self) -> bool:
        """Whether the result has rows beyond `rows`."""
        return self.result is not None and self.result.more

    @property
    def prompt_tokens(self) -> int | None:
        """Tokens read in all calls; None where the endpoint does not count them."""
        return total(call.prompt_tokens for call in self.calls)

    @property
    def completion_tokens(self) -> int | None:
        """Tokens written in all calls, reasoning included; None where the endpoint does not count them."""
        return total(call.completion_tokens for call in self.calls)

    def to_arrow(self) -> Any:
        """The result as a `pyarrow.Table`; a column of mixed types becomes text.

        Raises:
            MissingExtraError: pyarrow is not installed (the extra `frames`).
        """
        from sql_graph.frames import arrow_table

        return arrow_table(self.columns, self.rows)

    def to_pandas(self) -> pandas.DataFrame:
        """The result as a data frame; whole numbers stay whole beside NULL.

        Raises:
            MissingExtraError: pandas is not installed (the extra `frames`).
        """
        from sql_graph.frames import data_frame

        return data_frame(self.columns, self.rows)

    @property
    def observation(self) -> Observation | None:
        """What executing `sql` showed; None when there is no `sql`."""
        best = best_attempt(self.attempts)
        return None if best is None else best.observation

    @property
    def sql_after_each(self) -> tuple[str | None, ...]:
        """The query that would have answered if the agent had ended after each attempt, in order."""
        best = (best_attempt(self.attempts[: end + 1]) for end in range(len(self.attempts)))
        return tuple(None if attempt is None else attempt.sql for attempt in best)

    @property
    def reply(self) -> str:
        """What the model said last, where it gave no query; else empty."""
        return self.attempts[-1].reply if self.attempts else ""

    @property
    def ran(self) -> bool:
        """Whether `sql` ran: it has a result, possibly without rows."""
        return self.observation is not None and self.observation.ran

    def to_dict(self) -> dict[str, Any]:
        """The answer as JSON values."""
        return {
            "question": self.question,
            "sql": self.sql,
            "ran": self.ran,
            "turns": self.turns,
            "stop": str(self.stop),
            "reply": self.reply,
            "columns": list(self.columns),
            "rows": [[json_value(cell) for cell in row] for row in self.rows],
            "more_rows": self.more_rows,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "calls": [call.to_dict() for call in self.calls],
            "agreement": self.agreement,
            "samples": [{"sql": sample.sql, "ran": sample.ran, "stop": str(sample.stop)} for sample in self.samples],
            "attempts": [
                {
                    "node": attempt.node,
                    "sql": attempt.sql,
                    "cut": attempt.cut,
                    "observation": None if attempt.observation is None else to_record(attempt.observation),
                    "feedback": attempt.feedback,
                    "reply": attempt.reply,
                    "only_reasoning": attempt.only_reasoning,
                    "hints": list(attempt.hints),
                    "written": attempt.written,
                }
                for attempt in self.attempts
            ],
        }


def best_attempt(attempts: Sequence[Attempt]) -> Attempt | None:
    """The attempt that answers: the last of those that did best; None when no reply held a query.

    One that ran is better than one that was stopped at a limit, and that is better than one that was rejected or
    refused. A later attempt knows more, so it is preferred among equals.
    """
    asked = [attempt for attempt in attempts if attempt.sql is not None]
    return max(reversed(asked), key=_rank, default=None)


def _rank(attempt: Attempt) -> int:
    if attempt.observation is None:
        return 0
    if attempt.observation.ran:
        return 3
    return 2 if attempt.observation.status in (ObservationStatus.TIMEOUT, ObservationStatus.TOO_LARGE) else 1


def to_record(observation: Observation) -> ObservationRecord:
    """An observation as JSON values; `from_record` is its inverse."""
    return {
        "status": str(observation.status),
        "text": observation.text,
        "columns": list(observation.columns),
        "row_count": observation.row_count,
        "truncated": observation.truncated,
        "seconds": observation.seconds,
    }


def from_record(record: ObservationRecord) -> Observation:
    """The observation that `to_record` wrote."""
    return Observation(
        status=ObservationStatus(record["status"]),
        text=record["text"],
        columns=tuple(record["columns"]),
        row_count=record["row_count"],
        truncated=record["truncated"],
        seconds=record["seconds"],
    )


def answer_from_state(state: SqlState) -> SqlAnswer:
    """The typed answer in a final state of the graph."""
    return SqlAnswer(
        question=state.get("question", ""),
        sql=state.get("query"),
        turns=state.get("num_turns", 0),
        stop=StopReason(str(state.get("stop"))),
        attempts=read_attempts(state),
    )


def read_attempts(state: SqlState) -> tuple[Attempt, ...]:
    """The typed attempts in a state of the graph, oldest first."""
    return tuple(_attempt(record) for record in state.get("attempts", []))


def history_records(history: Sequence[tuple[str, str]]) -> list[HistoryRecord]:
    """Earlier (question, sql) pairs of a conversation as the graph takes them, oldest first."""
    return [{"question": question, "query": query} for question, query in history]


def _attempt(record: AttemptRecord) -> Attempt:
    observation = record["observation"]
    return Attempt(
        node=record["node"],
        sql=record["query"],
        cut=record["cut"],
        observation=None if observation is None else from_record(observation),
        feedback=record["feedback"],
        reply=record.get("reply", ""),
        only_reasoning=record.get("only_reasoning", False),
        hints=tuple(record.get("hints", ())),
        written=record.get("written"),
    )
