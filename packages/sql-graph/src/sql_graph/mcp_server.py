"""Serve a database as tools of the Model Context Protocol: ask a question, run one query, read the schema.

The official SDK does the talking; it is the extra `mcp`. Tools run in worker threads, so one that waits for a model or
a database holds up no other. A query that fails is a result with its reason; a database or a model that cannot be asked
is an error of the tool.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from anyio import to_thread
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.transport_security import TransportSecuritySettings
from mcp.types import ToolAnnotations
from pydantic import BaseModel, Field

from sql_graph.cells import json_value
from sql_graph.errors import SqlGraphError
from sql_graph.ports import SchemaStyle

if TYPE_CHECKING:
    from sql_graph.agent.state import SqlAnswer
    from sql_graph.ports import Database, Observation

Found = TypeVar("Found")
LOOPBACK = "127.0.0.1"
SCHEMA_TOKENS = 8192
"""Room for the schema, as `estimate_tokens` counts."""
SENT_ROWS = 100
"""Rows that a tool sends unless it is asked for more."""
_READS = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False)


class QueryResult(BaseModel):
    """What one query gave."""

    status: str = Field(description="rows, empty, error, refused, timeout or too_large")
    columns: list[str] = Field(description="names of the columns")
    rows: list[list[Any]] = Field(description="the first rows; large numbers, dates and bytes as text")
    row_count: int = Field(description="rows found; a lower bound where more_rows is true")
    more_rows: bool = Field(description="whether there are rows beyond those sent")
    message: str = Field(description="why there is no result; empty where there is one")


NOTHING = QueryResult(status="error", columns=[], rows=[], row_count=0, more_rows=False, message="")
"""What came of no query at all."""


class Answer(QueryResult):
    """What the agent made of a question."""

    sql: str | None = Field(description="the query that answers; null when none was found")
    stop: str = Field(description="why the agent ended: approved, max_turns, repeated, no_sql or cut")
    agreement: float | None = Field(description="the share of samples that agree, where samples vote")


def build_server(database: Database, *, ask: Callable[[str], SqlAnswer] | None = None) -> MCPServer[None]:
    """The server with the tools `schema` and `run_readonly`, and `ask` where a function that answers is given."""
    server: MCPServer[None] = MCPServer(
        "sql-graph",
        instructions=f"Reads a {database.dialect} database, and never writes to it. Look at the schema first.",
        log_level="WARNING",
    )

    @server.tool(annotations=_READS)
    async def schema(question: str = "") -> str:
        """The tables and columns of the database as CREATE statements, those that matter to `question` first to fit."""
        return await _off_loop(
            lambda: database.schema_text(question, budget_tokens=SCHEMA_TOKENS, style=SchemaStyle.FULL)
        )

    @server.tool(annotations=_READS)
    async def run_readonly(sql: str, max_rows: int = SENT_ROWS) -> QueryResult:
        """Run one SQL statement that reads, within a time limit. Nothing can be changed."""
        return query_result(await _off_loop(lambda: database.run(sql)), max_rows)

    if ask is not None:
        _add_ask(server, ask)
    return server


def serve(server: MCPServer[None], *, port: int | None) -> None:
    """Talk on standard input and output, or over HTTP on a port of the loopback interface, until the client leaves.

    Over HTTP, requests that another site's page makes are refused.
    """
    if port is None:
        server.run("stdio")
        return
    guard = TransportSecuritySettings(
        enable_dns_rebinding_protection=True,
        allowed_hosts=[f"{LOOPBACK}:*", "localhost:*"],
        allowed_origins=[f"http://{LOOPBACK}:*", "http://localhost:*"],
    )
    server.run("streamable-http", host=LOOPBACK, port=port, transport_security=guard)


def _add_ask(server: MCPServer[None], answering: Callable[[str], SqlAnswer]) -> None:
    @server.tool(annotations=ToolAnnotations(read_only_hint=True, destructive_hint=False, open_world_hint=False))
    async def ask(question: str, max_rows: int = SENT_ROWS) -> Answer:
        """Answer a question in words: an agent writes SQL, runs it, checks it, and rewrites it where it failed."""
        found = await _off_loop(lambda: answering(question))
        seen = found.result or found.observation
        gave = NOTHING.model_copy(update={"message": found.reply}) if seen is None else query_result(seen, max_rows)
        told = {"sql": found.sql, "stop": str(found.stop), "agreement": found.agreement}
        return Answer.model_validate(gave.model_dump() | told)


async def _off_loop(call: Callable[[], Found]) -> Found:
    """What `call` gives, in a worker thread; the sentence of an error of ours reaches the client."""
    try:
        return await to_thread.run_sync(call)
    except SqlGraphError as error:
        raise ToolError(str(error)) from error


def query_result(seen: Observation, max_rows: int) -> QueryResult:
    """An observation as a tool sends it, with at most `max_rows` rows."""
    rows: Sequence[Sequence[Any]] = seen.rows[: max(0, max_rows)]
    return QueryResult(
        status=seen.status,
        columns=list(seen.columns),
        rows=[[json_value(cell) for cell in row] for row in rows],
        row_count=seen.row_count,
        more_rows=seen.more or seen.row_count > len(rows),
        message="" if seen.ran else seen.text,
    )
