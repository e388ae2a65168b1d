"""What the agent itself costs: processor time per rollout with a scripted model, and memory over many rollouts.

A rollout is one question with three executed queries (an error, an empty result, a right one) and five model calls.
It goes in turn over the databases of Spider's dev split, or a built one where SQL_TEST_DATA (default
`../shared/data`) does not hold them. Both sides get the same replies from the same scripted model, so what is
compared is everything but the model. Ours keeps one `SqlDatabase` a file, as training does, and calls `answer`.

The other side is a straightforward agent in the manner of LangChain's `SQLDatabase`, in the way of the SQL example
of Agent-lightning: the database opened and all tables reflected for each rollout, and for every prompt `CREATE TABLE`
text and three sample rows of every table, cut at 2048 characters; nodes that return the whole state with its
messages; results fetched whole. The package `langchain-community` is no dependency of this project, so its calls to
SQLAlchemy are written out here. (Against the package itself, on `concert_singer`, this part took 13.2 ms where the
package took 13.3.) Unlike that example it saves the last check, so that both make five calls.

    python benchmarks/graph_overhead.py [--rollouts 1000] [--rounds 9]
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from langchain_core.messages import AnyMessage
from langchain_core.prompts import ChatPromptTemplate
from langgraph.graph import END, START, MessagesState, StateGraph
from sqlalchemy import MetaData, create_engine, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.schema import CreateTable

from sql_graph import CheckMode, ScriptedChat, SqlDatabase, answer
from sql_graph.parse import extract_sql

DATA = Path(os.environ.get("SQL_TEST_DATA", Path(__file__).parents[1] / ".." / "shared" / "data"))
QUESTION = "What is in the first table?"
TABLE_INFO_CHARS = 2048
DEV = (
    "battle_death", "car_1", "concert_singer", "course_teach", "cre_Doc_Template_Mgt", "dog_kennels",
    "employee_hire_evaluation", "flight_2", "museum_visit", "network_1", "orchestra", "pets_1", "poker_player",
    "real_estate_properties", "singer", "student_transcripts_tracking", "tvshow", "voter_1", "world_1", "wta_1",
)  # fmt: skip
BUILT = """
CREATE TABLE singer (Singer_ID int PRIMARY KEY, Name text, Country text, Song_Name text, Age int);
CREATE TABLE stadium (Stadium_ID int PRIMARY KEY, Location text, Name text, Capacity int, Highest int, Average int);
CREATE TABLE concert (concert_ID int PRIMARY KEY, concert_Name text, Stadium_ID int REFERENCES stadium, Year text);
CREATE TABLE singer_in_concert (concert_ID int REFERENCES concert, Singer_ID int REFERENCES singer);
INSERT INTO singer VALUES (1, 'Ann', 'France', 'You', 30), (2, 'Joe', 'Peru', 'Me', 41), (3, 'Lea', 'France', 'Us', 22);
INSERT INTO stadium VALUES (1, 'Lyon', 'Park', 5000, 4000, 3000), (2, 'Lima', 'Hall', 900, 800, 700);
INSERT INTO concert VALUES (1, 'Spring', 1, '2014'), (2, 'Autumn', 2, '2015');
INSERT INTO singer_in_concert VALUES (1, 1), (1, 2), (2, 3);
"""


@dataclass(frozen=True, kw_only=True)
class Task:
    """A database and what the scripted model says about it."""

    path: Path
    queries: tuple[str, ...]

    def replies(self) -> list[str]:
        """A query and a refusal in turn, the last query unchecked."""
        said = [reply for sql in self.queries for reply in (f"```sql\n{sql}\n```", "Not right.\nVERDICT: INCORRECT")]
        return said[:-1]


def task_of(path: Path) -> Task:
    """Three queries on the first table of a file: an error, an empty result, a result."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        (table,) = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' LIMIT 1").fetchone()
    forms = ('SELECT t.nosuch FROM "{}" t', 'SELECT * FROM "{}" WHERE 1 = 0', 'SELECT * FROM "{}" LIMIT 3')
    return Task(path=path, queries=tuple(form.format(table) for form in forms))


def readable(task: Task) -> bool:
    """Whether the plain agent survives this database: SQLAlchemy's date types reject some of Spider's values."""
    try:
        PlainDatabase(task.path).table_info()
    except (TypeError, ValueError):
        return False
    return True


def ours(task: Task, database: SqlDatabase) -> str | None:
    """One rollout of this project's agent."""
    chat = ScriptedChat(task.replies())
    found = answer(QUESTION, database=database, chat=chat, max_turns=3, check=CheckMode.LLM)
    assert (found.turns, len(chat.calls)) == (3, 5)
    return found.sql


class PlainState(MessagesState):
    """The state of the plain agent: everything, messages included."""

    question: str
    query: str
    execution: str
    feedback: str
    turns: int


class PlainDatabase:
    """What LangChain's `SQLDatabase` does, call by call."""

    def __init__(self, path: Path) -> None:
        self.engine = create_engine(f"sqlite:///{path}")
        self.metadata = MetaData()
        self.metadata.reflect(bind=self.engine)

    def table_info(self) -> str:
        """CREATE TABLE and three rows of each table, read again for each prompt."""
        parts: list[str] = []
        for table in sorted(self.metadata.tables.values(), key=lambda table: table.name):
            created = str(CreateTable(table).compile(self.engine)).rstrip()
            with self.engine.connect() as connection:
                rows = connection.execute(select(table).limit(3)).fetchall()
            shown = "\n".join("\t".join(str(value)[:100] for value in row) for row in rows)
            columns = "\t".join(column.name for column in table.columns)
            parts.append(f"{created}\n\n/*\n3 rows from {table.name} table:\n{columns}\n{shown}\n*/")
        return "\n\n".join(parts)

    def run(self, sql: str) -> str:
        """The whole result as text, or the error."""
        try:
            with self.engine.begin() as connection:
                return str(connection.execute(text(sql)).fetchall())
        except SQLAlchemyError as error:
            return f"Error: {error}"


def prompt(task: str) -> ChatPromptTemplate:
    """A template as agents of this kind have it."""
    system = (
        f"You are an agent designed to interact with a SQL database. {task}\n\n## Table Schema ##\n\n{{table_info}}"
    )
    return ChatPromptTemplate([("system", system), ("user", "Question: {question}\n\n{rest}")])


WRITE = prompt("Given an input question, create a syntactically correct {dialect} query.")
CHECK = prompt("Double check the {dialect} query for common mistakes.")
REWRITE = prompt("Rewrite the previous {dialect} query to fix errors based on the provided feedback.")


def plain(task: Task) -> str | None:
    """One rollout of the plain agent."""
    database, chat = PlainDatabase(task.path), ScriptedChat(task.replies())

    def ask(template: ChatPromptTemplate, state: PlainState, rest: str) -> tuple[list[AnyMessage], str]:
        info = database.table_info()[:TABLE_INFO_CHARS]
        asked: Any = template.invoke(
            {"dialect": "sqlite", "table_info": info, "question": state["question"], "rest": rest}
        )
        reply = chat.invoke(asked)
        return [*asked.messages, reply], str(reply.content)

    def write_query(state: PlainState) -> Any:
        messages, reply = ask(WRITE, state, "")
        return {**state, "messages": messages, "query": extract_sql(reply) or reply, "turns": 0}

    def execute_query(state: PlainState) -> Any:
        return {**state, "execution": database.run(state["query"])}

    def check_query(state: PlainState) -> Any:
        if state["turns"] + 1 >= 3:  # as the other side: no call whose verdict cannot matter
            return {**state, "turns": state["turns"] + 1}
        messages, reply = ask(CHECK, state, f"Query: {state['query']}\n\nResult: {state['execution'][:2048]}")
        return {**state, "messages": messages, "feedback": reply, "turns": state["turns"] + 1}

    def rewrite_query(state: PlainState) -> Any:
        rest = f"Query: {state['query']}\n\nResult: {state['execution'][:2048]}\n\nFeedback: {state['feedback']}"
        messages, reply = ask(REWRITE, state, rest)
        return {**state, "messages": messages, "query": extract_sql(reply) or state["query"]}

    def should_continue(state: PlainState) -> Literal["rewrite_query", "__end__"]:
        return "__end__" if state["turns"] >= 3 else "rewrite_query"

    graph = StateGraph(PlainState)
    for node in (write_query, execute_query, check_query, rewrite_query):
        graph.add_node(node)
    graph.add_edge(START, "write_query")
    graph.add_edge("write_query", "execute_query")
    graph.add_edge("execute_query", "check_query")
    graph.add_conditional_edges("check_query", should_continue, ["rewrite_query", END])
    graph.add_edge("rewrite_query", "execute_query")
    final = graph.compile().invoke({"question": QUESTION})
    database.engine.dispose()
    assert (final["turns"], len(chat.calls)) == (3, 5)
    return final["query"]


def cpu_ms(rollout: Callable[[Task], str | None], tasks: list[Task]) -> float:
    """Processor milliseconds per rollout, over all databases."""
    began = time.process_time()
    for task in tasks:
        assert rollout(task) == task.queries[-1]
    return (time.process_time() - began) * 1000 / len(tasks)


def resident_mb() -> float:
    """This process's resident memory."""
    gc.collect()
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize() / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def spread(figures: list[float]) -> str:
    """Median (p10-p90)."""
    tenths = statistics.quantiles(figures, n=10)
    return f"{statistics.median(figures):8.2f}  ({tenths[0]:.2f}-{tenths[-1]:.2f})"


def main() -> None:
    """Measure and report; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rollouts", type=int, default=1000, help="Rollouts over which memory is watched.")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        files = [DATA / "spider" / "database" / name / f"{name}.sqlite" for name in DEV]
        source = "Spider's dev databases"
        if not all(file.is_file() for file in files):
            files, source = [Path(folder) / "built.sqlite"], "a built database of four tables"
            with sqlite3.connect(files[0]) as connection:
                connection.executescript(BUILT)
        tasks = [task for task in map(task_of, files) if readable(task)]
        opened = {task.path: stack.enter_context(SqlDatabase(task.path)) for task in tasks}

        def mine_on(task: Task) -> str | None:
            return ours(task, opened[task.path])

        # In turn, so that a busy machine slows both; the first two rounds are warm-up.
        pairs = [(cpu_ms(mine_on, tasks), cpu_ms(plain, tasks)) for _ in range(options.rounds + 2)][2:]
        mine, theirs = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        before = resident_mb()
        for number in range(options.rollouts):
            mine_on(tasks[number % len(tasks)])
        grown = resident_mb() - before
    ratio = statistics.median(plain_ms / own_ms for own_ms, plain_ms in pairs)
    print(f"agent overhead, {source}, 3 turns, 5 scripted calls; CPU ms per rollout, {options.rounds} rounds")
    print(f"  over {len(tasks)} of {len(files)} databases: those whose values SQLAlchemy's types can read")
    print(f"  sql-graph                     {spread(mine)}")
    print(f"  schema read for every prompt  {spread(theirs)}   {ratio:.1f} times as much")
    print(f"  memory grown over {options.rollouts} rollouts: {grown:.1f} MB")
    result = {
        "bench": "graph_overhead",
        "database": source,
        "databases": len(tasks),
        "cpu_ms": round(statistics.median(mine), 2),
        "plain_cpu_ms": round(statistics.median(theirs), 2),
        "ratio": round(ratio, 2),
        "rollouts": options.rollouts,
        "grown_mb": round(grown, 2),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
