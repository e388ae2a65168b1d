"""A database as tools of the Model Context Protocol, seen through the official SDK's own client."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from click.testing import CliRunner
from mcp import Client, StdioServerParameters

from sql_graph import CheckMode, ScriptedChat, SqlDatabase, answer
from sql_graph.cli import main
from sql_graph.mcp_server import build_server

RUN = [sys.executable, "-c", "from sql_graph.entry import main; main()"]


@pytest.fixture
def singers(tmp_path: Path) -> Path:
    """A SQLite file with one table of 150 rows."""
    file = tmp_path / "singers.sqlite"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE singer (name text, age int)")
        connection.executemany("INSERT INTO singer VALUES (?, ?)", [(f"s{i}", i) for i in range(150)])
    return file


def call(file: Path, tool: str, arguments: dict[str, Any], *replies: str) -> Any:
    """What a client gets from one call of a tool, in memory; with replies, the server has a model."""
    database = SqlDatabase(file)
    chat = ScriptedChat(list(replies))
    ask = partial(answer, database=database, chat=chat, check=CheckMode.RULES, max_turns=2) if replies else None

    async def talk() -> Any:
        async with Client(build_server(database, ask=ask)) as client:
            return await client.call_tool(tool, arguments)

    return anyio.run(talk)


async def names_of_tools(client: Client) -> list[str]:
    return sorted(tool.name for tool in (await client.list_tools()).tools)


@pytest.mark.parametrize(
    ("with_model", "names"), [(True, ["ask", "run_readonly", "schema"]), (False, ["run_readonly", "schema"])]
)
def test_tools(singers: Path, with_model: bool, names: list[str]) -> None:
    """Without a model there is nobody to ask; every tool says that it only reads."""
    database = SqlDatabase(singers)

    async def talk() -> Any:
        ask = partial(answer, database=database, chat=ScriptedChat([])) if with_model else None
        async with Client(build_server(database, ask=ask)) as client:
            return (await client.list_tools()).tools

    tools = anyio.run(talk)
    assert {tool.name for tool in tools} == {"schema", "run_readonly"} | ({"ask"} if with_model else set())
    assert all(tool.annotations.read_only_hint and tool.description for tool in tools)


def test_schema(singers: Path) -> None:
    """The schema is the text that the agent reads."""
    found = call(singers, "schema", {})
    assert not found.is_error
    assert "CREATE TABLE singer" in found.content[0].text


def test_run_readonly(singers: Path) -> None:
    """A query gives its columns and its first rows, and says when there are more."""
    found = call(singers, "run_readonly", {"sql": "SELECT name, age FROM singer ORDER BY age"}).structured_content
    assert (found["status"], found["columns"], found["rows"][1]) == ("rows", ["name", "age"], ["s1", 1])
    assert (len(found["rows"]), found["row_count"], found["more_rows"]) == (100, 150, True)
    found = call(singers, "run_readonly", {"sql": "SELECT name FROM singer", "max_rows": 150}).structured_content
    assert (len(found["rows"]), found["more_rows"]) == (150, False)


@pytest.mark.parametrize(
    ("sql", "status"),
    [("SELECT nme FROM singer", "error"), ("DELETE FROM singer", "refused"), ("SELECT 1; SELECT 2", "refused")],
)
def test_a_query_that_fails_is_a_result(singers: Path, sql: str, status: str) -> None:
    """What a query did wrong is told in its result, and nothing is changed."""
    found = call(singers, "run_readonly", {"sql": sql})
    assert (found.is_error, found.structured_content["status"]) == (False, status)
    assert found.structured_content["message"]
    with sqlite3.connect(singers) as connection:
        assert connection.execute("SELECT count(*) FROM singer").fetchone() == (150,)


def test_a_database_that_is_gone_is_an_error(singers: Path) -> None:
    """Our own failures are errors of the tool, with the sentence that says what to do."""
    database = SqlDatabase(singers)
    singers.unlink()

    async def talk() -> Any:
        async with Client(build_server(database)) as client:
            return await client.call_tool("run_readonly", {"sql": "SELECT 1"})

    found = anyio.run(talk)
    assert found.is_error
    assert "no database at" in found.content[0].text


def test_ask(singers: Path) -> None:
    """A question gives the query, its rows and how the agent ended."""
    replies = ["SELECT nme FROM singer", "SELECT count(*) AS n FROM singer"]
    found = call(singers, "ask", {"question": "How many singers are there?"}, *replies).structured_content
    assert (found["sql"], found["columns"], found["rows"]) == (replies[1], ["n"], [[150]])
    assert (found["status"], found["agreement"], found["message"]) == ("rows", None, "")


def test_ask_without_a_query(singers: Path) -> None:
    """Where the model gives no query, its words are the message."""
    found = call(singers, "ask", {"question": "How are you?"}, "I am a model.").structured_content
    assert (found["sql"], found["status"], found["stop"], found["message"]) == (
        None,
        "error",
        "no_sql",
        "I am a model.",
    )


def test_over_stdio(singers: Path, reply_with: Callable[..., Any]) -> None:
    """The command speaks the protocol on its standard streams, and asks the model of the endpoint."""
    endpoint = reply_with("```sql\nSELECT max(age) AS oldest FROM singer\n```")
    options = ["mcp", "--db", str(singers), "--model", "m", "--base-url", endpoint.url, "--check", "rules"]
    server = StdioServerParameters(command=RUN[0], args=[*RUN[1:], *options], env=dict(os.environ))

    async def talk() -> Any:
        async with Client(server) as client:
            return await names_of_tools(client), await client.call_tool("ask", {"question": "How old is the oldest?"})

    names, found = anyio.run(talk)
    assert names == ["ask", "run_readonly", "schema"]
    assert found.structured_content["rows"] == [[149]]


@pytest.fixture
def http_server(singers: Path) -> Any:
    """The address of the command that serves HTTP."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    serving = subprocess.Popen([*RUN, "mcp", "--db", str(singers), "--http", str(port)], stderr=subprocess.PIPE)
    try:
        for _ in range(600):
            with socket.socket() as asked:
                if asked.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert serving.poll() is None
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        serving.kill()
        serving.communicate()


def test_over_http(http_server: str) -> None:
    """With --http the same tools answer on the loopback interface; a page of another site is refused."""

    async def talk() -> Any:
        async with Client(http_server) as client:
            return await client.call_tool("run_readonly", {"sql": "SELECT count(*) FROM singer"})

    assert anyio.run(talk).structured_content["rows"] == [[150]]
    headers = {"accept": "application/json, text/event-stream", "origin": "http://evil.example"}
    answered = httpx.post(http_server, json={"jsonrpc": "2.0", "id": 1, "method": "ping"}, headers=headers, timeout=60)
    assert answered.status_code == 403


def test_the_extra_is_named(singers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the SDK the command says which extra installs it."""
    monkeypatch.delitem(sys.modules, "sql_graph.mcp_server", raising=False)
    monkeypatch.setitem(sys.modules, "mcp.server.mcpserver", None)
    done = CliRunner().invoke(main, ["mcp", "--db", str(singers)])
    assert done.exit_code == 2
    assert "pip install 'sql-graph[mcp]'" in done.stderr


def test_a_wrong_database_ends_the_command(tmp_path: Path) -> None:
    """The schema is read before anything is served."""
    done = CliRunner().invoke(main, ["mcp", "--db", str(tmp_path / "none.sqlite")])
    assert done.exit_code == 3
    assert "no database at" in done.stderr
