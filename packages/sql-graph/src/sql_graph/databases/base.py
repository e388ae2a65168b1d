"""What a backend is: a way to run one reading statement on one kind of database, within limits.

A backend knows nothing of schemas or models. What the query did wrong comes back as a `Fault`; only a database that
cannot be used raises.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from sql_graph.databases.limits import DatabaseLimits
    from sql_graph.databases.schema import Schema
    from sql_graph.ports import ObservationStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """The rows of a query that the limits allow to fetch."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    """Each as wide as `columns`. Values are the driver's, or text as the server wrote it."""
    more: bool
    """Whether rows beyond these were left on the server."""
    readers: tuple[Callable[[str], Any] | None, ...] = ()
    """For each column, what reads the text that stands for its values; None where they are what they are. Empty for
    all None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Why a query gave no rows: ERROR, REFUSED, TIMEOUT or TOO_LARGE."""

    status: ObservationStatus
    message: str
    """The database's own words, without addresses."""


class Backend(Protocol):
    """One database, opened lazily, for reading only. Safe to share between threads, and usable after a fork."""

    dialect: str
    """The SQL dialect's name as a model knows it."""

    def fetch(self, sql: str, *, limits: DatabaseLimits) -> Fetched | Fault:
        """Run one statement and undo whatever it may have done.

        Raises:
            DatabaseError: the database cannot be used.
        """
        ...

    def sampling_query(self, table: str, columns: list[str], *, rows: int) -> str:
        """A query for the first `rows` rows of `columns`, text values cut short; names come spelled for SQL."""
        ...

    def read_schema(self) -> Schema:
        """All tables and views, without values.

        Raises:
            DatabaseError: the database cannot be used.
        """
        ...

    def identity(self) -> object:
        """A hashable value that changes when the database may have become another one."""
        ...

    def close(self) -> None:
        """Close all connections. The backend opens new ones when used again."""
        ...
