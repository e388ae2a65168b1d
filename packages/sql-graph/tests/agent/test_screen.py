"""What a person sees of an answer: on a terminal of eighty columns, in a pipe, and while the model takes its time."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SQL_GRAPH = Path(sys.executable).with_name("sql-graph")
LONG = (
    "SELECT department_identifier, head_of_department_full_name, temporary_acting_since, remarks FROM department "
    "WHERE head_of_department_full_name LIKE 'Name%' ORDER BY department_identifier"
)
REMARK = "it also selects the remarks, which nobody asked for, and the question wants the largest budget only"
WAIT = re.compile(r"sql-graph: [a-z ]+ …( \d+ s)?|\S? ?asking the model … \d+ s")

Command = list[object]


@pytest.fixture
def department(tmp_path: Path) -> Path:
    """A table whose rows are wider than a terminal."""
    file = tmp_path / "department.sqlite"
    with sqlite3.connect(file) as connection:
        connection.execute(
            "CREATE TABLE department (department_identifier int, head_of_department_full_name text, "
            "temporary_acting_since text, remarks text)"
        )
        row = "Name of a person", "2001-02-03", "this goes on and on, over the edge of a terminal, and on"
        connection.executemany("INSERT INTO department VALUES (?, ?, ?, ?)", [(number, *row) for number in range(3)])
    return file


@pytest.fixture
def ask(department: Path, endpoint: Any) -> Callable[..., Command]:
    """The command line of a question."""
    options = ["--db", department, "--model", "m", "--base-url", endpoint.url, "--check", "llm"]
    return lambda *more: [SQL_GRAPH, "ask", *options, *more, "Who heads the department with the largest budget?"]


def piped(command: Command) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, timeout=120)


def test_eighty_columns_and_pipes(
    ask: Callable[..., Command], reply_with: Callable[..., Any], in_terminal: Callable[..., tuple[str, int]]
) -> None:
    """Nothing is cut: a terminal breaks long lines between words, a pipe gets them whole and without colours."""
    replies = [f"```sql\n{LONG}\n```", f"{REMARK}\nVERDICT: INCORRECT", f"```sql\n{LONG} LIMIT 1\n```"]
    replies.append("VERDICT: CORRECT")
    reply_with(*replies, *replies)
    done = piped(ask())
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "\x1b" not in done.stdout
    assert f"  {LONG}" in lines
    assert f"  check: {REMARK}" in lines
    assert [line for line in lines if line != line.rstrip()] == []
    shown, code = in_terminal(ask())
    assert code == 0, shown
    shown = WAIT.sub("", shown.replace("\r", "\n"))
    assert max(map(len, shown.splitlines())) <= 80
    assert shown.split() == done.stdout.split()


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_pipe_hears_of_a_slow_model(
    ask: Callable[..., Command], reply_with: Callable[..., Any], answers: Any, options: tuple[str, ...]
) -> None:
    """A wait of more than three seconds is named on standard error, and standard output stays as it was."""
    slow = answers.Answer(body=answers.completion("```sql\nSELECT 1\n```").body, delay_s=5)
    reply_with(slow, "VERDICT: CORRECT")
    done = piped(ask(*options))
    assert done.returncode == 0, done.stderr
    assert re.search(r"^sql-graph: asking .* … [0-9]+ s$", done.stderr, re.MULTILINE)
    assert "asking" not in done.stdout


def test_a_terminal_counts_the_seconds(
    ask: Callable[..., Command],
    reply_with: Callable[..., Any],
    answers: Any,
    in_terminal: Callable[..., tuple[str, int]],
) -> None:
    """From reading the schema to the last reply; what counts is taken away before the answer."""
    slow = answers.Answer(body=answers.completion("```sql\nSELECT 1\n```").body, delay_s=3)
    reply_with(slow, "VERDICT: CORRECT")
    shown, code = in_terminal(ask())
    assert code == 0, shown
    assert "sql-graph: reading the schema …" in shown
    assert "asking the model … 1 s" in shown
    assert "asking the model … 2 s" in shown
