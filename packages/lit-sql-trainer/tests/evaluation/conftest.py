"""Scripted endpoints that answer the toy questions as a test wants them answered."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lit_sql_trainer import Target, find_target
from lit_sql_trainer.testing import ScriptedEndpoint

TABLES = {"shop": "item", "school": "pupil"}


def sql_block(sql: str) -> str:
    """A reply that holds this query."""
    return f"```sql\n{sql}\n```"


def messages_text(body: dict[str, Any]) -> str:
    """Everything that a request asks."""
    return "\n".join(str(message["content"]) for message in body["messages"])


def right_answer(body: dict[str, Any]) -> str:
    """The gold query of whichever toy question is asked."""
    text = messages_text(body)
    table = "item" if "item" in text else "pupil"
    if found := re.search(r"older than (\d+)", text):
        return sql_block(f"SELECT name FROM {table} WHERE age > {found[1]}")
    if "highest age" in text:
        return sql_block(f"SELECT max(age) FROM {table}")
    if "List the name" in text:
        return sql_block(f"SELECT name FROM {table}")
    return sql_block(f"SELECT count(*) FROM {table}")


def wrong_about(word: str) -> Callable[[dict[str, Any]], str]:
    """Right about every question but those with this word."""
    return lambda body: sql_block("SELECT 'wrong'") if word in messages_text(body) else right_answer(body)


@pytest.fixture
def endpoint() -> Iterator[ScriptedEndpoint]:
    """An endpoint that answers every toy question rightly."""
    with ScriptedEndpoint(right_answer, ids=False) as opened:
        yield opened


def target_at(endpoint: ScriptedEndpoint, *assignments: str) -> Target:
    """The scripted model under compact prompts and rules, so that a right answer takes one call."""
    return find_target(endpoint=endpoint.url, model="scripted", profile="tiny", assignments=assignments)


def lines_of(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").splitlines()
