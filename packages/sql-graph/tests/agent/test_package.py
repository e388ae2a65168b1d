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
from sql_graph import ModelCallError, ModelFault, build_langgraph_sql_agent
from sql_graph import errors as error_module

PACKAGE = Path(__file__).parents[2]


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
    endpoint = reply_with(
        "```sql\nSELECT nme FROM singer\n```", "VERDICT: INCORRECT", "```sql\nSELECT name FROM singer\n```"
    )
    database = {"path": singers, "text": str(singers), "url": f"sqlite:///{singers}"}[form]
    agent = build_langgraph_sql_agent(database, endpoint.url, "m", {"temperature": 0.5, "max_tokens": 99}, 2, 64)
    final = agent.invoke({"question": "Which names are there?"})
    assert (final["query"], final["num_turns"], final["stop"]) == ("SELECT name FROM singer", 2, "max_turns")
    assert [request["temperature"] for request in endpoint.requests] == [0.5] * 3
    first = endpoint.requests[0]["messages"]
    assert "SQLite" in first[0]["content"]
    assert "singer" in first[0]["content"]
    assert "no such column" in endpoint.requests[2]["messages"][-1]["content"]


def test_truncate_length_bounds_what_a_result_shows(singers: Path, reply_with: Callable[..., Any]) -> None:
    """The tutorial's `truncate_length` cuts results, and says so."""
    endpoint = reply_with("```sql\nSELECT printf('%.200c', 'x') AS long FROM singer\n```", "VERDICT: CORRECT")
    build_langgraph_sql_agent(singers, endpoint.url, "m", {}, 3, 20).invoke({"question": "Which names?"})
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
    code = f"""
import sys, json
from sql_graph import ScriptedChat, SqlDatabase, answer, open_chat
chat = ScriptedChat(["SELECT name FROM singer", "VERDICT: CORRECT"])
found = answer("Which names?", database=SqlDatabase({str(singers)!r}), chat=chat)
unwanted = ("agentlightning", "torch", "pandas", "pyarrow", "transformers")
print(json.dumps([found.sql, [name for name in unwanted if name in sys.modules]]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == ["SELECT name FROM singer", []]


def test_import_is_cheap() -> None:
    """`import sql_graph` loads no library at all; each name loads what it needs when it is first used."""
    code = """
import sys, time
began = time.process_time()
import sql_graph
spent = time.process_time() - began
heavy = ("langgraph", "langchain_core", "sqlalchemy", "openai", "click", "rich")
loaded = [name for name in heavy if name in sys.modules]
sql_graph.extract_sql("SELECT 1")
print(spent < 1.5, loaded, "langchain_core" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True [] False"


ERRORS = [
    value
    for value in vars(error_module).values()
    if isinstance(value, type) and issubclass(value, error_module.SqlGraphError)
]


@pytest.mark.parametrize("kind", ERRORS, ids=[kind.__name__ for kind in ERRORS])
def test_errors_survive_a_process_border(kind: type[error_module.SqlGraphError]) -> None:
    """Each error can be pickled with all its fields, and has an exit code of its own family."""
    fields = {"fault": ModelFault.TIMEOUT, "attempts": 2, "status": 504, "endpoint": "http://x", "model": "m"}
    error = kind("message", **fields) if kind is ModelCallError else kind("message")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.args, vars(again)) == (kind, error.args, vars(error))
    assert str(again) == str(error)
    assert again.exit_code in {1, 2, 3, 4}


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
