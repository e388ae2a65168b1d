"""Errors for failures that the model did not cause.

A query that fails is an `Observation`; a reply without SQL is a `StopReason`. An error of this module means that
somebody must act: the endpoint is down, the database is missing, an argument makes no sense. Each error has typed
fields, from which `str()` builds the sentence: the thing, what is wrong with it, the next step. All are picklable. No
field ever holds a password or an API key.
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

    def __init__(self, reason: str, *, argument: str = "", advice: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        """What is wrong, as a clause."""
        self.argument = argument
        """The parameter or environment variable at fault, if it is one."""
        self.advice = advice
        """The next step, where `reason` leaves a question open."""

    def __str__(self) -> str:
        return f"{self.reason}; {self.advice}" if self.advice else self.reason


class EmptyQuestionError(UsageError):
    """The question holds no text."""

    def __init__(self) -> None:
        super().__init__("the question is empty", argument="question", advice="ask something about the data, in words")


class MissingExtraError(UsageError):
    """What was asked for needs a package that only an extra of sql-graph installs."""

    def __init__(self, *, purpose: str, module: str, extra: str) -> None:
        super().__init__(f"{purpose} needs {module}", advice=f"run: pip install 'sql-graph[{extra}]'")
        self.purpose = purpose
        """What was asked for."""
        self.module = module
        """The module that is missing."""
        self.extra = extra
        """The extra that installs it."""


class PromptBudgetError(UsageError):
    """The prompt budget is too small for the question and the fixed text around it."""

    def __init__(self, *, total_tokens: int, schema_tokens: int, question_tokens: int) -> None:
        super().__init__(
            f"a prompt budget of {total_tokens} tokens leaves {schema_tokens} for the schema beside "
            f"a question of {question_tokens}",
            argument="prompt_budget_tokens",
            advice="shorten the question or raise prompt_budget_tokens",
        )
        self.total_tokens = total_tokens
        self.schema_tokens = schema_tokens
        """Tokens that are left for the schema, at least 0."""
        self.question_tokens = question_tokens


class DatabaseError(SqlGraphError):
    """The database itself is at fault, not a query."""

    exit_code = 3

    def __init__(self, reason: str, *, database: str = "", advice: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        """What is wrong, where it can be in the words of the operating system, the driver or the server."""
        self.database = database
        """The database: its kind with its file, or with its name, host and port. Never a user or a password."""
        self.advice = advice
        """The next step."""

    def __str__(self) -> str:
        return f"{self.reason}; {self.advice}" if self.advice else self.reason


class DatabaseNotFoundError(DatabaseError):
    """There is no database at this address. It is never created. `database` is the address, without any secret."""

    def __init__(
        self,
        *,
        database: str,
        reason: str = "",
        advice: str = "check the path: a database is never created here",
    ) -> None:
        super().__init__(reason, database=database, advice=advice)

    def __str__(self) -> str:
        reason = f": {self.reason}" if self.reason else ""
        return f"no database at {self.database!r}{reason}; {self.advice}"


class DatabaseUnavailableError(DatabaseError):
    """The database exists but cannot be used: connection refused or lost, wrong password, unreadable file."""

    def __init__(self, reason: str, *, database: str, advice: str, action: str = "use") -> None:
        super().__init__(reason, database=database, advice=advice)
        self.action = action
        """What failed, as a verb whose object is the database: `use`, `read`, `read the schema of`."""

    def __str__(self) -> str:
        return f"cannot {self.action} {self.database}: {self.reason}; {self.advice}"


class EmptyDatabaseError(DatabaseError):
    """The database has no table or view to ask about."""

    def __init__(self, *, database: str) -> None:
        super().__init__("no table or view", database=database, advice="check that it is the right database")

    def __str__(self) -> str:
        return f"{self.database} holds {self.reason}; {self.advice}"


class UnknownDialectError(DatabaseError):
    """No SQLAlchemy dialect, or no driver, is installed for this URL, or it is no URL of a database."""

    def __init__(self, reason: str, *, advice: str, dialect: str = "") -> None:
        super().__init__(reason, advice=advice)
        self.dialect = dialect
        """The dialect, with its driver where the URL names one; empty where the address is no URL."""


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


_NEXT_STEP = {
    ModelFault.UNREACHABLE: "check that the server runs and that the URL is right",
    ModelFault.TIMEOUT: "check the server's load, or allow more time with timeout_s",
    ModelFault.RATE_LIMITED: "wait, or send fewer requests at once",
    ModelFault.SERVER_ERROR: "look at the server's log",
    ModelFault.UNAUTHORIZED: "check the API key (OPENAI_API_KEY)",
    ModelFault.NOT_FOUND: "check the model's name and that the URL ends in the API's path, often /v1",
    ModelFault.REJECTED: "check the sampling parameters and the length of the prompt against the model's context",
    ModelFault.NOTHING_GENERATED: "look at the server's log, and allow more tokens if it keeps thoughts to itself",
    ModelFault.CONTENT_FILTERED: "ask another way, or another endpoint",
    ModelFault.TOO_LARGE: "lower max_tokens, or allow more with max_answer_bytes",
    ModelFault.NOT_A_CHAT_ANSWER: "check that the URL is that of an OpenAI-compatible API; its path often ends in /v1",
}
_WHAT = {
    ModelFault.UNREACHABLE: "cannot be reached",
    ModelFault.TIMEOUT: "did not answer in time",
    ModelFault.RATE_LIMITED: "asks to slow down",
    ModelFault.SERVER_ERROR: "failed",
    ModelFault.UNAUTHORIZED: "refuses the API key",
    ModelFault.NOT_FOUND: "knows no such model or path",
    ModelFault.REJECTED: "rejects the request",
    ModelFault.NOTHING_GENERATED: "generated nothing",
    ModelFault.CONTENT_FILTERED: "withholds the reply",
    ModelFault.TOO_LARGE: "answers with more than is read",
    ModelFault.NOT_A_CHAT_ANSWER: "answers with something other than a chat completion",
}


class ModelCallError(SqlGraphError):
    """The model could not be asked, after every attempt that was worth making."""

    exit_code = 4

    def __init__(
        self,
        said: str = "",
        *,
        fault: ModelFault,
        attempts: int,
        status: int | None = None,
        endpoint: str = "",
        model: str = "",
    ) -> None:
        super().__init__(said)
        self.said = said
        """The server's own words, or the operating system's where no server spoke; short, without any key."""
        self.fault = fault
        self.attempts = attempts
        """Requests made in all, the last one included."""
        self.status = status
        """The HTTP status of the last answer, or the one that it names, if there is one."""
        self.endpoint = endpoint
        """Scheme, host, port and path; never credentials."""
        self.model = model

    def __str__(self) -> str:
        where = f"the endpoint {self.endpoint}" if self.endpoint else "the endpoint"
        status = f" (HTTP {self.status})" if self.status else ""
        model = f" for model {self.model!r}" if self.model else ""
        tried = "1 request" if self.attempts == 1 else f"{self.attempts} requests"
        said = f": {self.said}" if self.said else ""
        return f"{where} {_WHAT[self.fault]}{status}{model} after {tried}{said}; {_NEXT_STEP[self.fault]}"
