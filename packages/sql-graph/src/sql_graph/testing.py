"""Doubles that need no model and no database. They replay what they were given and fail on anything else.

Use them in tests of code that uses this package, and to try it without a model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import PrivateAttr

from sql_graph.errors import SqlGraphError
from sql_graph.parse import message_text
from sql_graph.ports import Observation, ObservationStatus, SchemaStyle
from sql_graph.sqltext import canonical_query


class ScriptError(SqlGraphError):
    """A double was asked for something that is not in its script."""


class ScriptedChat(BaseChatModel):
    """A chat model that replays `replies` in order; a LangChain model, so callbacks and tracers see its calls.

    A reply is a text, a whole message (for example one with `finish_reason`), or an exception to raise. Each call is
    recorded in `calls`. Not for sharing between threads: the order of replies is the order of calls.
    """

    temperature: float | None = None
    """What a greedy model would have: 0."""
    _replies: list[str | BaseMessage | Exception] = PrivateAttr()
    _sampling: list[dict[str, Any]] = PrivateAttr()
    _calls: list[list[BaseMessage]] = PrivateAttr()

    def __init__(self, replies: Sequence[str | BaseMessage | Exception], **fields: Any) -> None:
        super().__init__(**fields)
        self._replies = list(replies)
        self._calls = []
        self._sampling = []

    @property
    def calls(self) -> list[list[BaseMessage]]:
        """The messages of each call so far."""
        return self._calls

    @property
    def sampling(self) -> list[dict[str, Any]]:
        """The sampling parameters that came with each call, beside the model's own."""
        return self._sampling

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        self._calls.append(messages)
        self._sampling.append(kwargs)
        if len(self._calls) > len(self._replies):
            raise ScriptError(
                f"call {len(self._calls)} of a ScriptedChat with {len(self._replies)} replies; its last message begins "
                f"{message_text(messages[-1])[:200]!r}: add a reply, or find out why the model was asked"
            )
        reply = self._replies[len(self._calls) - 1]
        if isinstance(reply, Exception):
            raise reply
        message = AIMessage(reply) if isinstance(reply, str) else reply
        return ChatResult(generations=[ChatGeneration(message=message)])


class TableDatabase:
    """A database that knows the answers to some queries and rejects every other.

    `answers` maps SQL to its rows, each row a mapping from column to value, or to a whole `Observation`. White space
    and a closing semicolon make no difference. `queries` records what was run.
    """

    def __init__(
        self,
        answers: Mapping[str, Sequence[Mapping[str, Any]] | Observation],
        *,
        schema: str = "",
        dialect: str = "SQLite",
    ) -> None:
        self._answers = {canonical_query(sql): result for sql, result in answers.items()}
        self._schema = schema
        self._dialect = dialect
        self.queries: list[str] = []

    @property
    def dialect(self) -> str:
        """The dialect given to the constructor."""
        return self._dialect

    def schema_text(self, question: str, *, budget_tokens: int, style: SchemaStyle) -> str:
        """The schema given to the constructor, whatever the style."""
        return self._schema

    def run(self, sql: str) -> Observation:
        """The rows for this query; an `ERROR` observation when it has none."""
        self.queries.append(sql)
        result = self._answers.get(canonical_query(sql))
        if result is None:
            return Observation(status=ObservationStatus.ERROR, text="no such query")
        return result if isinstance(result, Observation) else _table(result)


def _table(rows: Sequence[Mapping[str, Any]]) -> Observation:
    if not rows:
        return Observation(status=ObservationStatus.EMPTY, text="0 rows")
    columns = tuple(rows[0])
    lines = [" | ".join(columns), *(" | ".join(str(row[column]) for column in columns) for row in rows)]
    count = "1 row" if len(rows) == 1 else f"{len(rows)} rows"
    return Observation(
        status=ObservationStatus.ROWS,
        text="\n".join([*lines, f"({count})"]),
        columns=columns,
        row_count=len(rows),
        rows=tuple(tuple(row[column] for column in columns) for row in rows),
    )
