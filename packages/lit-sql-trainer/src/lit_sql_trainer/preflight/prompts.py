"""Check that prompts show the tables that questions are about. The agent itself writes each prompt.

For every question the real graph makes its first prompt under the profile's budget; the model that hears it says
nothing. Then the tables that the gold query reads, as SQLite tells them while it compiles the query, are looked for in
it. A question whose gold table is not shown cannot be answered, whatever the model learns.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from lit_sql_trainer.agent.first_prompt import FirstPrompt
from lit_sql_trainer.profile.profile import RolloutSettings
from spider_data import DatabaseCatalog, SpiderTask
from sql_graph import estimate_tokens

MOST_QUESTIONS = 2_000
"""More are sampled evenly: a share is known to a percent or two by then."""
_TABLE = re.compile(r'^(?:CREATE (?:TABLE|VIEW) )?("(?:[^"]|"")+"|[^\s("]+) ?\(', re.MULTILINE)
_CUT = re.compile(r"^-- \d+ more tables? not shown$|\b\d+ more columns not shown", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptAudit:
    """What the first prompts show and leave out."""

    questions: int
    looked_at: int
    truncated: tuple[str, ...]
    """Ids of tasks whose prompt leaves out tables or columns of the schema."""
    blind: tuple[str, ...]
    """Of those, the ones where a table that the gold reads is left out."""
    impossible: tuple[str, ...]
    """Ids of tasks for which no prompt can be made within the budget."""
    gold_tables: int
    gold_tables_shown: int
    """Over all questions looked at, once per question."""
    longest_tokens: int
    """Of all prompts, as the agent estimates it."""

    @property
    def recall(self) -> float:
        """Share of the gold tables that are shown."""
        return self.gold_tables_shown / self.gold_tables if self.gold_tables else 1.0


def audit_prompts(
    tasks: Sequence[SpiderTask],
    catalog: DatabaseCatalog,
    settings: RolloutSettings,
    *,
    most: int = MOST_QUESTIONS,
    on_question: Callable[[int, int], None] = lambda done, total: None,
) -> PromptAudit:
    """Make the first prompt of each question (of `most`, evenly chosen) and look for the gold's tables in it.

    Raises:
        sql_graph.DatabaseError: a database cannot be read, or holds no table.
    """
    unique = list({(task.db_id, task.question): task for task in tasks if task.question.strip()}.values())
    step = max(1, -(-len(unique) // most))
    chosen = sorted(unique[::step], key=lambda task: task.db_id)
    truncated, blind, impossible = list[str](), list[str](), list[str]()
    tables_total = tables_shown = longest = 0
    ask: FirstPrompt | None = None
    for done, task in enumerate(chosen, start=1):
        file = catalog.path(task.db_id)
        if ask is None or ask.file != file:
            ask = FirstPrompt(file, settings)
        messages = ask(task.question)
        on_question(done, len(chosen))
        if messages is None:
            impossible.append(task.task_id)
            continue
        prompt = "\n".join(message["content"] for message in messages)
        longest = max(longest, estimate_tokens(prompt))
        wanted = gold_tables(file, task.query)
        tables_total += len(wanted)
        if not _CUT.search(prompt):
            tables_shown += len(wanted)
            continue
        truncated.append(task.task_id)
        seen = wanted & shown_tables(prompt)
        tables_shown += len(seen)
        if seen != wanted:
            blind.append(task.task_id)
    return PromptAudit(
        questions=len(unique),
        looked_at=len(chosen),
        truncated=tuple(truncated),
        blind=tuple(blind),
        impossible=tuple(impossible),
        gold_tables=tables_total,
        gold_tables_shown=tables_shown,
        longest_tokens=longest,
    )


def gold_tables(file: Path, gold: str) -> set[str]:
    """The tables and views that a query names, in lower case, as SQLite sees them; empty where it does not compile."""
    named: set[str] = set()

    def note(action: int, table: str | None, column: str | None, schema: str | None, view: str | None) -> int:
        if action == sqlite3.SQLITE_READ and table and not table.startswith("sqlite_"):
            named.add((view if view in views else table).lower())
        return sqlite3.SQLITE_OK

    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        views = {str(name) for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'view'")}
        connection.set_authorizer(note)
        try:
            connection.execute(f"EXPLAIN {gold}").close()
        except sqlite3.Error:
            return set()
    return named


def shown_tables(prompt: str) -> set[str]:
    """The tables that a prompt describes, in lower case and without quotes."""
    names = (match[1] for match in _TABLE.finditer(prompt))
    return {(name[1:-1].replace('""', '"') if name.startswith('"') else name).lower() for name in names}
