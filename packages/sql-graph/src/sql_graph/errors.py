"""What can go wrong that is not the model's doing.

A query that fails is an `Observation`; a reply without SQL is a `StopReason`. What is here means that somebody must
act: the endpoint is down, the database is missing, an argument makes no sense. All of it is picklable, names the
thing, and ends with a next step. No message ever holds a password or an API key.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any


class SqlGraphError(Exception):
    """The base of every error of this package."""

    exit_code = 1
    """What `sql-graph` exits with when this error ends a command."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self.args, dict(self.__dict__))


def _restore(kind: type[SqlGraphError], args: tuple[Any, ...], fields: dict[str, Any]) -> SqlGraphError:
    """Rebuild an error from a pickle without running its `__init__`, whose arguments may be keyword-only."""
    error = kind.__new__(kind, *args)
    error.__dict__.update(fields)
    return error


class UsageError(SqlGraphError):
    """An argument makes no sense: an empty question, `max_turns=0`, an unknown sampling parameter."""

    exit_code = 2


class EmptyQuestionError(UsageError):
    """The question holds no text."""


class PromptBudgetError(UsageError):
    """The prompt budget is too small for the question and the fixed text around it."""


class DatabaseError(SqlGraphError):
    """The database itself is at fault, not a query."""

    exit_code = 3


class DatabaseNotFoundError(DatabaseError):
    """There is no database at this address. It is never created."""


class DatabaseUnavailableError(DatabaseError):
    """The database exists but cannot be used: connection refused or lost, wrong password, unreadable file."""


class EmptyDatabaseError(DatabaseError):
    """The database has no table or view to ask about."""


class UnknownDialectError(DatabaseError):
    """No SQLAlchemy dialect, or no driver, is installed for this URL."""


class ModelFault(StrEnum):
    """Why a model could not be asked."""

    UNREACHABLE = "unreachable"
    """No connection to the endpoint, or the connection was cut."""
    TIMEOUT = "timeout"
    """The endpoint did not answer in time."""
    RATE_LIMITED = "rate_limited"
    """HTTP 429, or an error that says so."""
    SERVER_ERROR = "server_error"
    """HTTP 5xx, an `error` in a successful answer, or a reply that the server did not finish."""
    UNAUTHORIZED = "unauthorized"
    """HTTP 401 or 403, or an error that says so."""
    NOT_FOUND = "not_found"
    """HTTP 404: a wrong path, or a model that the endpoint does not serve."""
    REJECTED = "rejected"
    """Any other HTTP 4xx: the request itself is wrong, for example a prompt longer than the context."""
    NOTHING_GENERATED = "nothing_generated"
    """A message without text, of which the endpoint does not say that the model generated anything."""
    CONTENT_FILTERED = "content_filtered"
    """A filter of the endpoint took the reply, or part of it, away."""
    TOO_LARGE = "too_large"
    """An answer beyond `max_answer_bytes`, as sent or decompressed."""
    NOT_A_CHAT_ANSWER = "not_a_chat_answer"
    """The endpoint answers with something other than a chat completion, for example an HTML page."""


class ModelCallError(SqlGraphError):
    """The model could not be asked, after every attempt that was worth making."""

    exit_code = 4

    def __init__(
        self, message: str, *, fault: ModelFault, attempts: int, status: int | None = None, endpoint: str = ""
    ) -> None:
        super().__init__(message)
        self.fault = fault
        self.attempts = attempts
        """Requests made in all, the last one included."""
        self.status = status
        """The HTTP status of the last answer, if there was one."""
        self.endpoint = endpoint
        """Scheme, host, port and path; never credentials."""
