"""A run of a thousand questions survives whatever an endpoint replies: each ends as an answer or as a typed failure."""

from __future__ import annotations

import json
import random
import sqlite3
import tomllib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sql_graph import CheckMode, ModelCallError, SqlAnswer, SqlDatabase, StopReason, answer
from sql_graph.agent.http_chat import open_http_chat

HERE = Path(__file__).parent
QUESTIONS = 1_000
GOOD: dict[str, Any] = {"index": 0, "finish_reason": "stop"}
ODD_TEXTS = (
    "\ud83d half a character",
    "```sql\nSELECT '\ud83d'\n```",
    "\x00\x1b[2J",
    "",
    " \n" * 5_000,
    "SELECT " * 5_000,
    "(" * 20_000,
    "```sql\nSELECT " + "(" * 2_000 + "1" + ")" * 2_000 + "\n```",
    "```sql\nDROP TABLE singer\n```",
    "```sql\nATTACH 'elsewhere.sqlite' AS e\n```",
    "```sql\nSELECT zeroblob(999999999)\n```",
    "<think>" * 500,
    '{"sql": ' * 500,
)


def bodies() -> list[str]:
    """A body for every odd reply of the tables, and for the odd texts."""
    failures = tomllib.loads((HERE / "failures.toml").read_text("utf-8"))
    replies = tomllib.loads((HERE / "replies.toml").read_text("utf-8"))
    found: list[str] = []
    for case in (*failures["case"], *failures["read"]):
        choice = case.get("choice", "").replace("\n", "\\n")
        found.append(case.get("body") or '{"choices": [' + choice + "]}")
    texts = [*ODD_TEXTS, *(case["reply"] for case in (*replies["case"], *replies["verdict"]))]
    found += [json.dumps({"choices": [GOOD | {"message": {"role": "assistant", "content": text}}]}) for text in texts]
    return [*found, "", "null", "NaN", "[" * 50_000, "<!doctype html><title>Hello</title>", '{"choices": {"a": []}}']


@pytest.mark.timeout(600)
def test_a_thousand_questions(reply_with: Callable[..., Any], answers: Any, tmp_path: Path) -> None:
    """No reply of the tables ends the run, and every answer can be written as JSON in UTF-8."""
    file = tmp_path / "singers.sqlite"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE singer (name text, age int)")
    odd = bodies()
    assert len(odd) > 100
    rng = random.Random(0)
    chosen = [*odd, *rng.choices(odd, k=QUESTIONS - len(odd))]
    endpoint = reply_with(*(answers.Answer(body=body) for body in chosen))
    chat = open_http_chat(
        model="m", base_url=endpoint.url, api_key="k", max_retries=0, timeout_s=60, max_answer_bytes=1_000_000
    )
    ends: Counter[str] = Counter()
    with SqlDatabase(file) as database:
        for number in range(QUESTIONS):
            try:
                found = answer(f"Question {number}?", database=database, chat=chat, max_turns=1, check=CheckMode.RULES)
            except ModelCallError as error:
                assert str(error).encode()
                ends[error.fault] += 1
            else:
                assert isinstance(found, SqlAnswer)
                assert json.dumps(found.to_dict(), ensure_ascii=False).encode()
                ends[found.stop] += 1
    assert ends.total() == QUESTIONS == len(endpoint.requests)
    assert {StopReason.MAX_TURNS, StopReason.NO_SQL} <= set(ends)
    assert len([end for end in ends if end not in set(StopReason)]) >= 5, ends
