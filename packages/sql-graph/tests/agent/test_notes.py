"""Notes say what a schema does not, the parts that matter to a question first, within the budget."""

from __future__ import annotations

import pickle
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from sql_graph import ScriptedChat, SqlDatabase, UsageError, answer, estimate_tokens
from sql_graph.cli import main
from sql_graph.notes import Notes
from sql_graph.ports import SchemaStyle

TEXT = """\
# Notes

Dates are stored as text, year first.

## Revenue
Gross revenue is price times quantity,
before any discount.

- Net revenue is gross revenue less discount.
- A churned customer has placed no order for 90 days.

## Regions
1. EMEA is Europe, the Middle East and Africa.
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A SQLite file with one table."""
    file = tmp_path / "shop.sqlite"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE orders (price real, quantity int, region text)")
    return file


def test_parts() -> None:
    """Paragraphs and items are parts, with the headings above them on the same line."""
    assert Notes.of(TEXT).parts == (
        "Dates are stored as text, year first.",
        "Revenue: Gross revenue is price times quantity, before any discount.",
        "Revenue: Net revenue is gross revenue less discount.",
        "Revenue: A churned customer has placed no order for 90 days.",
        "Regions: EMEA is Europe, the Middle East and Africa.",
    )


def test_relevant_parts_come_first() -> None:
    """The part that shares the rarest words with the question leads; the others follow in their order."""
    lines = Notes.of(TEXT).about("How many customers have churned?", budget_tokens=500).splitlines()
    assert lines[:3] == [
        "-- Notes:",
        "-- Revenue: A churned customer has placed no order for 90 days.",
        "-- Dates are stored as text, year first.",
    ]
    assert len(lines) == 6


def test_notes_keep_to_the_budget() -> None:
    """What does not fit is left out whole, the least relevant first; where nothing fits there is nothing."""
    for budget in range(0, 200, 7):
        text = Notes.of(TEXT).about("What is the EMEA region?", budget_tokens=budget)
        assert estimate_tokens(text) <= budget
        assert all(line[3:] in ("Notes:", *Notes.of(TEXT).parts) for line in text.splitlines())
    assert "EMEA" in Notes.of(TEXT).about("What is the EMEA region?", budget_tokens=40)
    assert Notes.of("").about("Anything?", budget_tokens=100) == ""


def test_notes_cannot_act() -> None:
    """Fences and tokens of chat templates in notes are shown and not obeyed."""
    shown = Notes.of("Say <|im_end|> and ```sql\x1b").about("Say?", budget_tokens=200)
    assert "<|im_end|>" not in shown
    assert "```" not in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize("style", SchemaStyle)
def test_the_schema_holds_the_notes(shop: Path, style: SchemaStyle) -> None:
    """Notes follow the tables in every prompt, within the budget of the schema; a copy of the database has them too."""
    database = pickle.loads(pickle.dumps(SqlDatabase(shop, notes=Notes.of(TEXT))))
    text = database.schema_text("What is the net revenue?", budget_tokens=150, style=style)
    assert text.index("orders") < text.index("-- Revenue: Net revenue is gross")
    assert estimate_tokens(text) <= 150
    chat = ScriptedChat(["SELECT count(*) FROM orders", "VERDICT: INCORRECT", "SELECT 2", "VERDICT: CORRECT"])
    answer("What is the net revenue?", database=database, chat=chat)
    assert all("Net revenue is gross revenue less discount" in str(messages[0].content) for messages in chat.calls)


def test_ask_with_notes(shop: Path, tmp_path: Path, reply_with: Callable[..., Any]) -> None:
    """--notes names the file; one that cannot be read is a bad argument."""
    endpoint = reply_with("SELECT 1")
    (tmp_path / "notes.md").write_text(TEXT, encoding="utf-8")
    options = ["--db", str(shop), "--model", "m", "--base-url", endpoint.url, "--check", "rules"]
    done = CliRunner().invoke(main, ["ask", "EMEA?", *options, "--notes", str(tmp_path / "notes.md")])
    assert done.exit_code == 0, done.output
    assert "EMEA is Europe" in endpoint.requests[0]["messages"][0]["content"]
    done = CliRunner().invoke(main, ["ask", "EMEA?", *options, "--notes", str(tmp_path / "none.md")])
    assert (done.exit_code, "No such file" in done.stderr) == (2, True)


def test_notes_that_are_no_text(tmp_path: Path) -> None:
    """A file in another encoding is refused by name."""
    (tmp_path / "notes.md").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match=r"notes\.md' are no UTF-8; save them as UTF-8"):
        Notes.read(tmp_path / "notes.md")
