"""The commands, against a real endpoint and a real SQLite file."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from sql_graph import UsageError
from sql_graph.cli import main
from sql_graph.console import TurnPrinter, draw_png, harmless

COUNT = "```sql\nSELECT count(*) AS n FROM singer\n```"
BAD = "```sql\nSELECT nme FROM singer\n```"
WAIT = re.compile(r"sql-graph: .* … [0-9]+ s")
YES, NO = "VERDICT: CORRECT", "There is no such column.\nVERDICT: INCORRECT"


@pytest.fixture
def singers(tmp_path: Path) -> Path:
    """A SQLite file with one table of two rows."""
    file = tmp_path / "singers.sqlite"
    with sqlite3.connect(file) as connection:
        connection.executescript(
            "CREATE TABLE singer (name text, age int); INSERT INTO singer VALUES ('Joe', 30), ('Ann \x1b[31m', 41);"
        )
    return file


@pytest.fixture
def run(endpoint: Any, singers: Path) -> Callable[..., Result]:
    """Run `sql-graph` in this process, pointed at the endpoint and the file unless a test says otherwise."""

    def command(name: str, *arguments: str, typed: str = "", **options: str) -> Result:
        chosen = {"db": str(singers), "model": "m", "base-url": endpoint.url} | {
            key.replace("_", "-"): value for key, value in options.items()
        }
        flags = [part for key, value in chosen.items() for part in (f"--{key}", value)]
        return CliRunner().invoke(main, [name, *arguments, *flags], input=typed)

    return command


def test_ask_shows_each_turn(run: Callable[..., Result], reply_with: Callable[..., Any]) -> None:
    """A person sees every query, what it gave, what the check says, and how it ended."""
    endpoint = reply_with(BAD, NO, COUNT, YES)
    result = run("ask", "How many singers are there?", check="llm")
    assert result.exit_code == 0
    shown = result.output
    parts = ["1 · write query", "SELECT nme FROM singer", "no such column", "check: There is no such column."]
    parts += ["hint: singer has no column nme."]
    parts += ["2 · rewrite query", "SELECT count(*) AS n FROM singer", "approved · turns: 2"]
    places = [shown.find(part) for part in parts]
    assert -1 not in places
    assert places == sorted(places)
    assert endpoint.requests[0]["temperature"] == 0.0


def test_ask_json(run: Callable[..., Result], reply_with: Callable[..., Any]) -> None:
    """With --json, standard output is one JSON object and nothing else."""
    reply_with(COUNT, YES)
    result = run("ask", "How many singers are there?", "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert (found["sql"], found["turns"], found["stop"], found["ran"]) == (
        "SELECT count(*) AS n FROM singer", 1, "approved", True
    )  # fmt: skip
    assert "2" in found["attempts"][0]["observation"]["text"]


@pytest.mark.parametrize("reply", ["I do not know.", BAD])
def test_no_query_that_runs(run: Callable[..., Result], reply_with: Callable[..., Any], reply: str) -> None:
    """Ending without a query that runs is exit code 5, not an error."""
    reply_with(reply)
    result = run("ask", "How many?", max_turns="1")
    assert result.exit_code == 5
    assert "ended" in result.output


def test_terminal_is_not_obeyed(run: Callable[..., Result], reply_with: Callable[..., Any]) -> None:
    """Control characters and markup from models and databases are shown, not obeyed."""
    reply_with("```sql\nSELECT name, '[red]x[/red]' AS m FROM singer\n```", YES)
    result = run("ask", "Which names?")
    assert "\x1b" not in result.output
    assert "[red]x[/red]" in result.output
    assert harmless("a\x1b[31m\x9b\r\n\tb") == "a\ufffd[31m\ufffd\ufffd\n\tb"


def assert_one_line(result: Result, code: int, *parts: str) -> None:
    """A command ended with this exit code and one line that holds each part, waits apart."""
    assert result.exit_code == code
    assert len([line for line in result.stderr.splitlines() if not WAIT.fullmatch(line)]) == 1
    assert "Traceback" not in result.output
    for part in parts:
        assert part in result.stderr


def test_unreachable_endpoint(run: Callable[..., Result]) -> None:
    """Nobody listens at the URL."""
    result = run("ask", "How many?", base_url="http://127.0.0.1:9/v1")
    assert_one_line(result, 4, "http://127.0.0.1:9/v1 cannot be reached", "3 requests", "check that the server runs")


def test_wrong_key(run: Callable[..., Result], reply_with: Callable[..., Any], answers: Any) -> None:
    """The endpoint refuses the key."""
    reply_with(answers.failure(401, "invalid key"))
    assert_one_line(run("ask", "How many?"), 4, "refuses the API key (HTTP 401)", "OPENAI_API_KEY")


def test_endpoint_that_answers_html(run: Callable[..., Result], reply_with: Callable[..., Any], answers: Any) -> None:
    """The URL is that of a web site."""
    reply_with(answers.Answer(body="<!doctype html><title>Hello</title>", content_type="text/html"))
    assert_one_line(run("ask", "How many?"), 4, "an HTML page, 'Hello'", "/v1")


def test_missing_database_is_never_created(run: Callable[..., Result], tmp_path: Path) -> None:
    """A wrong path is named, and nothing appears there."""
    missing = tmp_path / "missing.sqlite"
    assert_one_line(run("ask", "How many?", db=str(missing)), 3, "missing.sqlite")
    assert_one_line(run("chat", db=f"sqlite:///{missing}"), 3, "missing.sqlite")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["singers.sqlite"]


def test_empty_database(run: Callable[..., Result], tmp_path: Path) -> None:
    """A database without tables has nothing to ask about."""
    empty = tmp_path / "empty.sqlite"
    with sqlite3.connect(empty) as connection:
        connection.execute("VACUUM")
    assert_one_line(run("ask", "How many?", db=str(empty)), 3, "no table")


def test_unknown_dialect(run: Callable[..., Result]) -> None:
    """A URL for which no driver is installed."""
    assert_one_line(run("ask", "How many?", db="nosuchsql://host/db"), 3, "nosuchsql")


@pytest.mark.parametrize("question", ["", "  "])
def test_empty_question(run: Callable[..., Result], question: str) -> None:
    """Nothing is asked."""
    assert_one_line(run("ask", question), 2, "the question is empty")


def test_other_bad_arguments(run: Callable[..., Result]) -> None:
    """Arguments that make no sense are exit code 2."""
    assert_one_line(run("ask", "How many?", max_turns="0"), 2, "--max-turns must be at least 1")
    assert_one_line(run("ask", "How many?", deadline="0"), 2, "--deadline must")
    assert_one_line(run("ask", "How many?", timeout="0"), 2, "--timeout must be greater than 0, got 0.0")
    assert_one_line(run("ask", "How many?", temperature="-1"), 2, "--temperature must")
    assert_one_line(run("ask", "How many?", max_tokens="0"), 2, "--max-tokens must")
    assert_one_line(run("ask", "How many?", base_url="localhost"), 2, "not the URL of an endpoint")
    assert_one_line(run("ask", "How many?", prompt_budget="100"), 2, "raise --prompt-budget")
    assert run("ask", "How many?", check="maybe").exit_code == 2


def test_errors_as_json(run: Callable[..., Result], reply_with: Callable[..., Any], answers: Any) -> None:
    """A script gets the error as JSON too."""
    reply_with(answers.failure(401))
    result = run("ask", "How many?", "--json")
    assert json.loads(result.stdout)["error"] == "ModelCallError"
    assert result.exit_code == 4


def test_conversation(run: Callable[..., Result], reply_with: Callable[..., Any], answers: Any) -> None:
    """Later questions see earlier ones until /new; an error ends a question, not the conversation."""
    endpoint = reply_with(COUNT, answers.failure(400, "too long"), COUNT, COUNT)
    typed = "How many singers?\nAnd bands?\n/help\nAnd now?\n/new\nAgain?\n/quit\nnever asked\n"
    result = run("chat", typed=typed)
    assert result.exit_code == 0
    said = [[message["content"] for message in request["messages"]] for request in endpoint.requests]
    assert len(said) == 4
    assert [len(said[at]) for at in range(4)] == [2, 4, 4, 2]
    assert said[1][1:] == [
        "Question: How many singers?",
        "```sql\nSELECT count(*) AS n FROM singer\n```",
        "Question: And bands?",
    ]
    assert "too long" in result.output


def test_conversation_ends_with_its_input(run: Callable[..., Result]) -> None:
    """The end of the input ends the conversation."""
    assert run("chat", typed="").exit_code == 0


def test_draw(run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`draw` needs neither model nor database; a drawing needs graphviz and says so."""
    drawn = CliRunner().invoke(main, ["draw"])
    assert drawn.exit_code == 0
    assert "check_query -.-> rewrite_query;" in drawn.output
    monkeypatch.setenv("PATH", "")
    assert_one_line(CliRunner().invoke(main, ["draw", "--png", str(tmp_path / "a.png")]), 2, "graphviz")


def test_drawing_passes_dot_the_edges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphviz is given a valid file, conditional edges dotted; its complaint is passed on."""
    dot = tmp_path / "dot"
    dot.write_text(f"#!{sys.executable}\nimport sys, pathlib\npathlib.Path(sys.argv[3]).write_text(sys.stdin.read())\n")
    dot.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    draw_png([("a", "b", False), ("b", "__end__", True)], tmp_path / "graph.png")
    text = (tmp_path / "graph.png").read_text()
    assert '"a" -> "b";' in text
    assert '"b" -> "__end__" [style=dotted];' in text
    dot.write_text(f"#!{sys.executable}\nimport sys\nsys.exit('no space')\n")
    with pytest.raises(UsageError, match="no space"):
        draw_png([], tmp_path / "other.png")


@pytest.mark.parametrize(
    "command", [["--help"], ["ask", "--help"], ["chat", "--help"], ["draw", "--help"], ["--version"]]
)
def test_help_is_there(command: list[str]) -> None:
    """Each command explains itself, with an example."""
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0
    assert "--version" in command or "Usage:" in result.output


def test_help_imports_nothing_heavy() -> None:
    """`--help` answers at once because nothing but click is imported."""
    program = Path(__file__).parents[1] / "programs" / "help_and_list_modules.py"
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("trace", [{}, {"LANGSMITH_TRACING": "true", "LANGSMITH_ENDPOINT": "http://127.0.0.1:9"}])
def test_ask_loads_only_what_it_needs(singers: Path, reply_with: Callable[..., Any], trace: dict[str, str]) -> None:
    """A whole answer needs neither the OpenAI client nor LangGraph, unless LangChain is to trace it."""
    endpoint = reply_with(COUNT)
    program = Path(__file__).parents[1] / "programs" / "ask_and_list_modules.py"
    flags = ["--db", str(singers), "--model", "m", "--base-url", endpoint.url]
    done = subprocess.run(
        [sys.executable, str(program), "ask", *flags, "How many?"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **trace},
    )
    assert "approved" in done.stdout
    assert len(endpoint.requests) == 1
    loaded = json.loads(done.stdout.splitlines()[-1])
    if trace:
        assert {"langgraph", "langchain_openai"} <= set(loaded)
    else:
        assert loaded == []


@pytest.mark.parametrize("in_terminal", [True, False])
def test_waiting_is_seen_on_a_terminal(in_terminal: bool) -> None:
    """While the model is asked a line moves on a terminal; a pipe gets none."""
    seen = StringIO()
    with TurnPrinter(Console(file=seen, force_terminal=in_terminal)).waiting():
        pass
    assert ("asking the model" in seen.getvalue()) is in_terminal


def test_a_reply_without_sql_reaches_the_user(
    run: Callable[..., Result], reply_with: Callable[..., Any], answers: Any
) -> None:
    """The model's own words are in `--json`; a reply that is only reasoning is named as that on the screen."""
    message = {"role": "assistant", "content": "", "reasoning_content": "Which table?"}
    thought = {
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        "usage": {"completion_tokens": 3},
    }
    reply_with("I cannot tell.", answers.Answer(body=json.dumps(thought)))
    result = run("ask", "How many?", "--json")
    assert (result.exit_code, json.loads(result.stdout)["reply"]) == (5, "I cannot tell.")
    result = run("ask", "How many?")
    assert result.exit_code == 5
    assert "the model gave only its reasoning: Which table?" in result.output


def test_the_default_address_is_named_before_it_is_asked(
    singers: Path, endpoint: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an address, the command says where question and schema are about to go."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    monkeypatch.setattr("sql_graph.agent.walk.walk", lambda *_, **__: sys.exit(7))
    result = CliRunner().invoke(main, ["ask", "--db", str(singers), "--model", "m", "How many?"])
    assert result.exit_code == 7
    assert "'m' is asked at https://api.openai.com/v1; the question and the schema go there" in result.stderr
