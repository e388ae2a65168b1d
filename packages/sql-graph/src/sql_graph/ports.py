"""The protocols that the graph needs: a database and a chat model.

Each protocol has only what the graph uses. `SqlDatabase` and LangChain's chat models satisfy them, and so do the public
doubles `TableDatabase` and `ScriptedChat`. No field can hold a gold query.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage
    from langchain_core.runnables import RunnableConfig


class ObservationStatus(StrEnum):
    """The result of running one query. The query caused each of these, so they are data and never an exception."""

    ROWS = "rows"
    """It ran and returned at least one row."""
    EMPTY = "empty"
    """It ran and returned no row."""
    ERROR = "error"
    """The database rejected it: syntax, an unknown name, a type."""
    REFUSED = "refused"
    """Not one reading statement, so it was not run, or was stopped by the read-only guard."""
    TIMEOUT = "timeout"
    """Stopped at the deadline."""
    TOO_LARGE = "too_large"
    """Its result, or one value in it, is larger than the limits allow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What running one query showed, as the model reads it."""

    status: ObservationStatus
    text: str
    """A compact table with its row count, or a short error without addresses, boilerplate or secrets."""
    columns: tuple[str, ...] = ()
    """Column names of the result, in order; empty where there is no result."""
    row_count: int = 0
    """Rows fetched; a lower bound when `truncated`."""
    truncated: bool = False
    """Whether rows or characters of the result were left out of `text`."""
    seconds: float = 0.0
    """Wall-clock time of the execution."""
    rows: tuple[tuple[Any, ...], ...] = field(default=(), repr=False)
    """Every row fetched, whole, as Python values; the model sees none of it but what is in `text`. Empty where a
    `Database` gives only text, and in the state of the graph, which holds no rows."""
    more: bool = False
    """Whether rows beyond `row_count` were left in the database."""

    @property
    def ran(self) -> bool:
        """Whether there is a result, possibly without rows."""
        return self.status in (ObservationStatus.ROWS, ObservationStatus.EMPTY)


class SchemaStyle(StrEnum):
    """How a schema is written for the model."""

    FULL = "full"
    """CREATE TABLE text with types, keys, comments and sample values."""
    COMPACT = "compact"
    """One short line a table, `singer(singer_id int pk, name text)`, foreign keys as `fk a.b=c.d`, no samples."""


class Database(Protocol):
    """What the agent may ask of a database. Implementations are safe to share between threads."""

    @property
    def dialect(self) -> str:
        """The name of the SQL dialect to write, as a model knows it: `SQLite`, `PostgreSQL`, `MySQL`, `DuckDB`."""
        ...

    def schema_text(self, question: str, *, budget_tokens: int, style: SchemaStyle) -> str:
        """The schema within `budget_tokens` (as `estimate_tokens` counts), most relevant tables kept.

        The text is the same for the same arguments. Tables are dropped whole, and the text says how many.
        """
        ...

    def run(self, sql: str) -> Observation:
        """Run one statement, read-only and within limits. Whatever the query did wrong is in the observation.

        Raises:
            DatabaseError: the database itself failed: gone, unreadable, connection lost.
        """
        ...


@runtime_checkable
class HintingDatabase(Protocol):
    """What a `Database` may know besides; one that does not is asked for nothing more."""

    def hints(self, sql: str, observation: Observation) -> tuple[str, ...]:
        """Facts, in sentences, that help to mend a query which gave `observation`.

        Raises:
            DatabaseError: the database itself failed.
        """
        ...


@runtime_checkable
class MendingDatabase(Protocol):
    """What a `Database` may do besides: set a slip right that leaves one choice."""

    def mended(self, sql: str, observation: Observation) -> str | None:
        """The query that was meant by one which failed with `observation`, if it runs; None where that is not certain.

        Raises:
            DatabaseError: the database itself failed.
        """
        ...


class ChatModel(Protocol):
    """The one method of LangChain's `BaseChatModel` that the graph calls.

    A model whose attribute `temperature` is 0 is asked for second rewrites with `temperature=` as a further argument,
    which LangChain's models take; any other is never given one.
    """

    def invoke(self, input: list[BaseMessage], /, config: RunnableConfig | None = None) -> BaseMessage:
        """The model's reply to these messages.

        Raises:
            ModelCallError: the model could not be asked. It is never replaced by another prompt.
        """
        ...
