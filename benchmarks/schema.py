"""How much of a schema a model gets: recall of the tables that gold queries use, by token budget, and time.

Recall is the share of Spider's dev questions whose schema text holds every table that the gold query reads. `fits` is
what a perfect choice of whole tables could reach in that budget; the difference is the linker's. The second part
times the rendering of a schema with 900 tables, of which almost all must be left out. Tokens are counted as
`estimate_tokens` does, which errs on the long side.

    python benchmarks/schema.py [--rounds 7]

Needs the Spider data under SQL_TEST_DATA (default `../shared/data`).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from sql_graph import PromptStyle, SqlDatabase, estimate_tokens
from sql_graph.agent.prompts import PromptBudget
from sql_graph.agent.render import SchemaWriter, write_table
from sql_graph.databases.schema import Column, ForeignKey, Schema, Table
from sql_graph.ports import SchemaStyle

DATA = Path(os.environ.get("SQL_TEST_DATA", Path(__file__).parents[1] / ".." / "shared" / "data")) / "spider"
BUDGETS = (200, 300, 500, 800, 1200, 2000)
HUGE_BUDGET = 2000
STRING = re.compile(r"'[^']*'|\"[^\"]*\"")
SOURCE = re.compile(r"\b(?:from|join)\s+([A-Za-z_]\w*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A question, its database, and the indices of the tables that its gold query reads."""

    question: str
    database: SqlDatabase
    gold: frozenset[int]


def cases() -> list[Case]:
    """Spider's dev questions."""
    databases: dict[str, SqlDatabase] = {}
    found: list[Case] = []
    for row in json.loads((DATA / "dev.json").read_text(encoding="utf-8")):
        name = row["db_id"]
        database = databases.setdefault(name, SqlDatabase(DATA / "database" / name / f"{name}.sqlite"))
        index = {table.name.lower(): i for i, table in enumerate(database.schema.tables)}
        sources = {source.lower() for source in SOURCE.findall(STRING.sub("''", row["query"]))}
        gold = frozenset(index[source] for source in sources if source in index)
        assert gold, row["query"]
        found.append(Case(question=row["question"], database=database, gold=gold))
    return found


def shows(text: str, case: Case, style: SchemaStyle) -> bool:
    """Whether a schema text holds every gold table of a question, whole."""
    schema = case.database.schema
    return all(f"\n{write_table(schema, schema.tables[i], style)}\n" in f"\n{text}\n" for i in case.gold)


def default_recall(questions: list[Case]) -> float:
    """The share of questions whose gold tables are all in the agent's prompt, with its default budget."""
    budget = PromptBudget()
    texts = (budget.task(case.database, case.question, style=PromptStyle.FULL).schema for case in questions)
    return statistics.mean(shows(text, case, SchemaStyle.FULL) for text, case in zip(texts, questions, strict=True))


def recall(questions: list[Case], *, budget: int, style: SchemaStyle) -> tuple[float, float]:
    """The share of questions whose gold tables are all shown, and the share where they could be."""
    shown = fits = 0
    for case in questions:
        schema = case.database.schema
        text = case.database.schema_text(case.question, budget_tokens=budget, style=style)
        assert estimate_tokens(text) <= budget
        shown += shows(text, case, style)
        whole = "\n".join(write_table(schema, table, style) for table in schema.tables)
        best = "\n".join(
            [
                *(write_table(schema, schema.tables[i], style) for i in case.gold),
                f"-- {len(schema.tables)} more tables not shown",
            ]
        )
        fits += estimate_tokens(whole) <= budget or estimate_tokens(best) <= budget
    return shown / len(questions), fits / len(questions)


def huge_schema(tables: int) -> Schema:
    """Tables of twelve columns in a tree of foreign keys, each with sample values."""
    names = ("customer", "order", "invoice", "shipment", "product", "supplier", "ticket", "payment", "account")
    return Schema(
        tables=tuple(
            Table(
                name=f"{names[i % len(names)]}_{i}",
                columns=(
                    Column(name="id", type="INTEGER"),
                    *(Column(name=f"field_{j}", type="TEXT", values=(f"value {i} {j}", "other")) for j in range(11)),
                ),
                primary_key=("id",),
                foreign_keys=(
                    ForeignKey(columns=("field_1",), table=f"{names[i // 2 % 9]}_{i // 2}", referred_columns=("id",)),
                ),
            )
            for i in range(tables)
        )
    )


def seconds_to_render(schema: Schema, *, rounds: int) -> tuple[float, float]:
    """The median of a first rendering, with all preparation, and of a second one, for another question."""
    first: list[float] = []
    later: list[float] = []
    for i in range(rounds):
        started = time.perf_counter()
        writer = SchemaWriter(schema)
        writer.render(f"How many shipments has order {i}?", budget_tokens=HUGE_BUDGET, style=SchemaStyle.FULL)
        between = time.perf_counter()
        writer.render(f"Which invoice {i} has no payment?", budget_tokens=HUGE_BUDGET, style=SchemaStyle.FULL)
        first.append(between - started)
        later.append(time.perf_counter() - between)
    return statistics.median(first), statistics.median(later)


def main() -> None:
    """Print both parts, and one line of JSON last."""
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--rounds", type=int, default=7)
    rounds = arguments.parse_args().rounds
    if not (DATA / "dev.json").exists():
        sys.exit(f"no Spider data at {DATA}; set SQL_TEST_DATA to the folder that holds spider/")
    questions = cases()
    result: dict[str, object] = {"bench": "schema", "questions": len(questions)}
    print(f"recall of gold tables, {len(questions)} dev questions (in brackets: what a perfect choice could reach)")
    print("  budget      full               compact")
    for budget in BUDGETS:
        line = f"  {budget:6d}"
        for style in SchemaStyle:
            shown, fits = recall(questions, budget=budget, style=style)
            result[f"recall_{style}_{budget}"] = round(shown, 4)
            line += f"   {shown:7.2%} ({fits:7.2%})"
        print(line)
    result["recall_default"] = round(float(default_recall(questions)), 4)
    budget = PromptBudget().total_tokens
    print(f"  in the agent's prompt, at its default budget of {budget}: {result['recall_default']:.2%}")
    first, later = seconds_to_render(huge_schema(900), rounds=rounds)
    times = f"first {first:.3f} s, later {later * 1000:.1f} ms"
    print(f"900 tables, budget {HUGE_BUDGET}, median of {rounds}: {times}")
    result |= {"first_render_900_s": round(first, 4), "later_render_900_s": round(later, 5)}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
