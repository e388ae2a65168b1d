"""The package as a whole: what it offers, what it imports, and the tutorial's call from end to end."""

from __future__ import annotations

import importlib
import importlib.util
import json
import pickle
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sql_graph
from sql_graph import (
    CheckMode,
    DatabaseError,
    ModelCallError,
    ModelFault,
    SqlGraphError,
    UsageError,
    build_langgraph_sql_agent,
)
from sql_graph import errors as error_module
from sql_graph.errors import (
    DatabaseNotFoundError,
    DatabaseUnavailableError,
    EmptyDatabaseError,
    EmptyQuestionError,
    MissingExtraError,
    PromptBudgetError,
    UnknownDialectError,
)

PACKAGE = Path(__file__).parents[2]
PROGRAMS = Path(__file__).parents[1] / "programs"


def run_program(name: str, *arguments: str) -> Any:
    """What a program of `tests/programs` prints, read as JSON."""
    command = [sys.executable, str(PROGRAMS / name), *arguments]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.fixture
def singers(tmp_path: Path) -> Path:
    """A SQLite file with one table of two rows."""
    file = tmp_path / "singers.sqlite"
    with sqlite3.connect(file) as connection:
        connection.executescript("CREATE TABLE singer (name text); INSERT INTO singer VALUES ('Joe'), ('Ann');")
    return file


@pytest.mark.parametrize("form", ["path", "text", "url"])
def test_tutorials_call(singers: Path, reply_with: Callable[..., Any], form: str) -> None:
    """The tutorial's builder takes a file or a URL, and its graph the tutorial's input."""
    endpoint = reply_with("```sql\nSELECT nme FROM singer\n```", "```sql\nSELECT name FROM singer\n```")
    database = {"path": singers, "text": str(singers), "url": f"sqlite:///{singers}"}[form]
    agent = build_langgraph_sql_agent(database, endpoint.url, "m", {"temperature": 0.5, "max_tokens": 99}, 2, 64)
    final = agent.invoke({"question": "Which names are there?"})
    assert (final["query"], final["num_turns"], final["stop"]) == ("SELECT name FROM singer", 2, "max_turns")
    assert [request["temperature"] for request in endpoint.requests] == [0.5] * 2
    first = endpoint.requests[0]["messages"]
    assert "SQLite" in first[0]["content"]
    assert "singer" in first[0]["content"]
    assert "singer has no column nme" in endpoint.requests[1]["messages"][-1]["content"]


def test_truncate_length_bounds_what_a_result_shows(singers: Path, reply_with: Callable[..., Any]) -> None:
    """The tutorial's `truncate_length` cuts results, and says so."""
    endpoint = reply_with("```sql\nSELECT printf('%.200c', 'x') AS long FROM singer\n```", "VERDICT: CORRECT")
    graph = build_langgraph_sql_agent(singers, endpoint.url, "m", {}, 3, 20, check=CheckMode.LLM)
    graph.invoke({"question": "Which names?"})
    shown = endpoint.requests[1]["messages"][-1]["content"]
    assert "characters left out]" in shown
    assert "x" * 21 not in shown


def test_every_public_name_is_there() -> None:
    """Each name of `__all__` can be imported, is documented, and comes from this package."""
    for name in sql_graph.__all__:
        value = getattr(sql_graph, name)
        assert name == "TRAINED_NODES" or value.__doc__
        assert name == "TRAINED_NODES" or value.__module__.startswith("sql_graph")
    assert set(sql_graph.__all__) <= set(dir(sql_graph))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = sql_graph.nonsense


def test_training_stays_out(singers: Path) -> None:
    """Answering a question imports neither the training library nor torch, pandas or pyarrow."""
    assert run_program("answer_a_question.py", str(singers)) == ["SELECT name FROM singer", []]


def test_import_is_cheap() -> None:
    """`import sql_graph` loads no library at all; each name loads what it needs when it is first used."""
    at_import, in_use = run_program("import_the_package.py")
    assert at_import == []
    assert "langchain_core" not in in_use


ERRORS: list[tuple[SqlGraphError, int, str]] = [
    (SqlGraphError("what is wrong"), 1, "what is wrong"),
    (
        UsageError("no model is named", argument="model", advice="give its name"),
        2,
        "no model is named; give its name",
    ),
    (UsageError("max_turns must be at least 1, got 0"), 2, "max_turns must be at least 1, got 0"),
    (EmptyQuestionError(), 2, "the question is empty; ask something about the data, in words"),
    (
        PromptBudgetError(total_tokens=9, schema_tokens=0, question_tokens=7),
        2,
        "a prompt budget of 9 tokens leaves 0 for the schema beside a question of 7; "
        "shorten the question or raise prompt_budget_tokens",
    ),
    (DatabaseError("gone"), 3, "gone"),
    (DatabaseError("gone", database="the shop", advice="look for it"), 3, "gone; look for it"),
    (
        DatabaseNotFoundError(database="/data/a.sqlite"),
        3,
        "no database at '/data/a.sqlite'; check the path: a database is never created here",
    ),
    (
        DatabaseNotFoundError(database="", reason="the address is empty", advice="give a file or a URL"),
        3,
        "no database at '': the address is empty; give a file or a URL",
    ),
    (
        DatabaseUnavailableError("refused", database="the PostgreSQL database 'shop'", advice="check the server"),
        3,
        "cannot use the PostgreSQL database 'shop': refused; check the server",
    ),
    (
        DatabaseUnavailableError("torn", database="'a.sqlite'", advice="check the file", action="read"),
        3,
        "cannot read 'a.sqlite': torn; check the file",
    ),
    (
        EmptyDatabaseError(database="the SQLite database 'a.sqlite'"),
        3,
        "the SQLite database 'a.sqlite' holds no table or view; check that it is the right database",
    ),
    (
        UnknownDialectError("no SQLAlchemy dialect 'odd' is installed", advice="check the spelling", dialect="odd"),
        3,
        "no SQLAlchemy dialect 'odd' is installed; check the spelling",
    ),
    (
        MissingExtraError(purpose="to_pandas", module="pandas", extra="frames"),
        2,
        "to_pandas needs pandas; run: pip install 'sql-graph[frames]'",
    ),
    (
        ModelCallError("busy", fault=ModelFault.TIMEOUT, attempts=2, status=504, endpoint="http://x", model="m"),
        4,
        "the endpoint http://x did not answer in time (HTTP 504) for model 'm' after 2 requests: busy; "
        "check the server's load, or allow more time with timeout_s",
    ),
]


@pytest.mark.parametrize(("error", "exit_code", "sentence"), ERRORS, ids=[sentence for _, _, sentence in ERRORS])
def test_errors_build_their_sentence_and_survive_a_process_border(
    error: SqlGraphError, exit_code: int, sentence: str
) -> None:
    """Each error builds its sentence from its fields, is pickled with all of them, and has its family's exit code."""
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.args, vars(again)) == (type(error), error.args, vars(error))
    assert str(again) == str(error) == sentence
    assert again.exit_code == exit_code


def test_every_kind_of_error_is_tried() -> None:
    """The list of errors above leaves out none that has a sentence of its own."""
    own = {
        value
        for value in vars(error_module).values()
        if isinstance(value, type) and issubclass(value, SqlGraphError) and "__init__" in vars(value)
    }
    assert own <= {type(error) for error, _, _ in ERRORS}


def test_dev_server_loads_the_agent(
    singers: Path, reply_with: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `langgraph.json` points at is a factory that needs nothing but the environment."""
    settings = json.loads((PACKAGE / "langgraph.json").read_text("utf-8"))
    file, _, name = settings["graphs"]["sql_agent"].partition(":")
    spec = importlib.util.spec_from_file_location("loaded_by_path", PACKAGE / file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.delenv("SQL_GRAPH_DB", raising=False)
    with pytest.raises(sql_graph.UsageError, match="SQL_GRAPH_DB is not set"):
        getattr(module, name)()
    endpoint = reply_with("```sql\nSELECT name FROM singer\n```", "VERDICT: CORRECT")
    monkeypatch.setenv("SQL_GRAPH_DB", str(singers))
    monkeypatch.setenv("SQL_GRAPH_MODEL", "m")
    monkeypatch.setenv("OPENAI_API_BASE", endpoint.url)
    graph = getattr(module, name)()
    assert graph.name == "sql_agent"
    assert graph.invoke({"question": "Which names?"})["stop"] == "approved"
