"""A thinking model is told how much to think; its thoughts are kept apart from the query, shown and counted."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from sql_graph import CheckMode, ScriptedChat, TableDatabase, UsageError, answer
from sql_graph.agent.thinking import Effort, thinking_parameters
from sql_graph.cli import main
from sql_graph.reading.thoughts import thoughts_in, without_thinking

FINAL = "<|start|>assistant<|channel|>final<|message|>"


@pytest.mark.parametrize(
    ("reply", "thoughts", "rest"),
    [
        ("<think>count them</think>\nSELECT 1", "count them", "\nSELECT 1"),
        ("count them</think>SELECT 1", "count them", "SELECT 1"),
        ("<think>cut off", "cut off", ""),
        ("<think>a<plan>b</plan>c</think>SELECT 1", "a\nb\nc", "SELECT 1"),
        ("SELECT '<think>'", "", "SELECT '<think>'"),
        (
            "<|channel|>analysis<|message|>count<|end|><|start|>assistant<|channel|>final<|message|>SELECT 1",
            "count",
            "SELECT 1",
        ),
        ("SELECT 1", "", "SELECT 1"),
    ],
)
def test_thoughts_are_told_apart(reply: str, thoughts: str, rest: str) -> None:
    """Whatever the markers, thoughts and answer are two texts."""
    assert thoughts_in(reply) == thoughts
    assert without_thinking(reply) == rest


def test_thoughts_are_no_part_of_the_query() -> None:
    """A query that a model drafts while it thinks is in the reasoning of the call and nowhere else."""
    chat = ScriptedChat(["<think>SELECT 2 would be wrong</think>SELECT 1"])
    found = answer("?", database=TableDatabase({"SELECT 1": [{"a": 1}]}), chat=chat, check=CheckMode.RULES)
    assert found.sql == "SELECT 1"
    assert found.calls[0].reasoning == "SELECT 2 would be wrong"


def test_parameters() -> None:
    """Servers are told in their own words, and the reply keeps its room beside the thoughts."""

    def told(effort: str | None, budget: int | None, limit: int | None = None, is_openai: bool = False) -> Any:
        known = None if effort is None else Effort(effort)
        given = thinking_parameters(effort=known, thinking_tokens=budget, max_tokens=limit, is_openai=is_openai)
        return {name: value for name, value in given.items() if value is not None}

    assert told(None, None) == {}
    assert told(None, 500, 200) == {"max_tokens": 700}
    assert told(None, 500) == {"max_tokens": 1524}
    assert told("none", None) == {"chat_template_kwargs": {"enable_thinking": False}}
    assert told("high", None) == {"reasoning_effort": "high", "chat_template_kwargs": {"enable_thinking": True}}
    assert told("none", None, is_openai=True) == {"reasoning_effort": "none"}
    assert told("low", None, is_openai=True) == {"reasoning_effort": "low"}
    with pytest.raises(UsageError, match="of no use"):
        told("none", 5)
    with pytest.raises(UsageError, match="at least 0"):
        told(None, -1)


def test_both_chats_send_the_effort(opener: Any, reply_with: Callable[..., Any]) -> None:
    """The effort travels at the top of the request, what is for the chat template beside it."""
    endpoint = reply_with("SELECT 1")
    effort = thinking_parameters(effort=Effort.LOW, thinking_tokens=10, max_tokens=20, is_openai=False)
    chat = opener(model="m", base_url=endpoint.url, sampling_parameters=effort)
    answer("?", database=TableDatabase({"SELECT 1": [{"a": 1}]}), chat=chat, check=CheckMode.RULES)
    sent = endpoint.requests[0]
    assert (sent["reasoning_effort"], sent["max_tokens"]) == ("low", 30)
    assert sent["chat_template_kwargs"] == {"enable_thinking": True}


@pytest.fixture
def ask(endpoint: Any, tmp_path: Path) -> Callable[..., Result]:
    """Run `sql-graph ask` on a small database."""
    file = tmp_path / "a.sqlite"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE t(x)")

    def command(*arguments: str) -> Result:
        options = ["--db", str(file), "--model", "m", "--base-url", endpoint.url, "--check", "rules"]
        return CliRunner().invoke(main, ["ask", "?", *options, *arguments])

    return command


def test_ask_shows_and_counts_thoughts(ask: Callable[..., Result], endpoint: Any, answers: Any) -> None:
    """`ask -v` shows the reasoning that a server gives beside the reply, and its tokens; else neither is shown."""
    message = {"role": "assistant", "content": "SELECT 1", "reasoning_content": "one is enough"}
    usage = {"prompt_tokens": 9, "completion_tokens": 7, "completion_tokens_details": {"reasoning_tokens": 4}}
    body = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage}
    endpoint.answers = [answers.Answer(body=json.dumps(body))] * 2
    shown = ask("-v", "--effort", "medium", "--thinking-tokens", "50").output
    assert "tokens: 9 read, 7 written, 4 of them reasoning" in shown
    assert "one is enough" in shown
    assert (endpoint.requests[0]["reasoning_effort"], endpoint.requests[0]["max_tokens"]) == ("medium", 1074)
    assert "one is enough" not in ask().output


def test_a_budget_that_makes_no_sense(ask: Callable[..., Result]) -> None:
    """The message names the option."""
    done = ask("--thinking-tokens", "-1")
    assert (done.exit_code, "--thinking-tokens must be at least 0" in done.stderr) == (2, True)
