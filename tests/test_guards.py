"""The agent and the judge allow the same statements on SQLite: an agent tries nothing that is judged otherwise."""

import sqlite3
import tomllib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from sql_graph import SqlDatabase
from sql_reward import Outcome, Rows, Rules, judge, run_sql

FOLDER = Path(__file__).with_name("guards")
SCHEMA = """
CREATE TABLE singer (id INTEGER PRIMARY KEY, name TEXT, age INTEGER);
INSERT INTO singer VALUES (1, 'Ada', 30), (2, 'Bo', 10);
CREATE TABLE song (id INTEGER PRIMARY KEY, singer_id INTEGER REFERENCES singer, title TEXT);
CREATE INDEX song_title ON song (title);
CREATE VIEW adults AS SELECT * FROM singer WHERE age > 17;
CREATE VIEW parts AS SELECT value AS v FROM json_each('[1, 2]');
CREATE VIRTUAL TABLE docs USING fts5(title); INSERT INTO docs VALUES ('hello world');
CREATE VIRTUAL TABLE words USING fts5vocab(docs, 'row');
CREATE VIRTUAL TABLE f4 USING fts4(t); INSERT INTO f4 VALUES ('hello');
CREATE VIRTUAL TABLE f3 USING fts3(t); INSERT INTO f3 VALUES ('a b c');
CREATE VIRTUAL TABLE rt USING rtree(id, x0, x1); INSERT INTO rt VALUES (1, 0, 1);
CREATE VIRTUAL TABLE pages USING dbstat;
"""
TEXTS = {"{long}": "%a" * 126, "{longest}": "%a" * 125}
WORDS = {
    Outcome.SQL_ERROR: "error",
    Outcome.FORBIDDEN: "refused",
    Outcome.TIMEOUT: "timeout",
    Outcome.TOO_LARGE: "too_large",
    Outcome.NO_SQL: "no_sql",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A statement and what agent and judge answer."""

    name: str
    sql: str
    agent: str
    judge: str
    reason: str


def load_cases() -> list[Case]:
    """All cases of the folder."""
    cases: list[Case] = []
    for file in sorted(FOLDER.glob("*.toml")):
        for entry in tomllib.loads(file.read_text())["case"]:
            sql = entry["sql"]
            for mark, text in TEXTS.items():
                sql = sql.replace(mark, text)
            both = entry.get("is", "")
            cases.append(
                Case(
                    name=entry["name"],
                    sql=sql,
                    agent=both or entry["agent"],
                    judge=both or entry["judge"],
                    reason=entry.get("reason", ""),
                )
            )
    return cases


CASES = load_cases()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with tables of all kinds."""
    path = tmp_path_factory.mktemp("guards") / "guards.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(SCHEMA)
    return path


@pytest.fixture(scope="module")
def database(file: Path) -> Iterator[SqlDatabase]:
    """The same as the agent sees it."""
    with SqlDatabase(str(file)) as opened:
        yield opened


def said_by_agent(database: SqlDatabase, sql: str) -> str:
    """What the agent's database answers, an empty result being rows."""
    status = database.run(sql).status.value
    return "rows" if status == "empty" else status


def said_by_judge(file: Path, sql: str) -> str:
    """The same in the judge's sandbox."""
    found = run_sql(file, sql)
    return "rows" if isinstance(found, Rows) else WORDS[found.outcome]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Case, file: Path, database: SqlDatabase) -> None:
    """Each written case gets the answer its author expects, from both; a difference has its reason."""
    before = file.read_bytes()
    assert (said_by_agent(database, case.sql), said_by_judge(file, case.sql)) == (case.agent, case.judge)
    assert case.reason or case.agent == case.judge
    if case.judge == "refused":
        assert judge(case.sql, "SELECT name FROM singer", file, rules=Rules.BIRD).outcome == Outcome.FORBIDDEN
    assert file.read_bytes() == before


def test_the_first_of_several_statements(file: Path, database: SqlDatabase) -> None:
    """The official rules judge the first of several statements, as their evaluator does; the agent refuses them."""
    sql = "SELECT name FROM singer; DROP TABLE singer"
    assert judge(sql, "SELECT name FROM singer", file, rules=Rules.OFFICIAL).matched
    assert said_by_agent(database, sql) == "refused"


def names(pragma: str) -> list[str]:
    """What this build of SQLite has."""
    with closing(sqlite3.connect(":memory:")) as connection:
        return sorted({str(row[0]) for row in connection.execute(f"SELECT name FROM pragma_{pragma}_list")})


def both_say(file: Path, database: SqlDatabase, sql: str) -> str:
    """The one answer of agent and judge."""
    agent, judged = said_by_agent(database, sql), said_by_judge(file, sql)
    assert agent == judged, sql
    return agent


@pytest.mark.parametrize("function", names("function"))
def test_every_function_of_this_build(function: str, file: Path, database: SqlDatabase) -> None:
    """Each function is allowed by both or refused by both, whatever its number of arguments."""
    for count in range(5):
        both_say(file, database, f'SELECT "{function}"({", ".join(["NULL"] * count)})')


@pytest.mark.parametrize("module", names("module"))
def test_every_module_of_this_build(module: str, file: Path, database: SqlDatabase) -> None:
    """Each table that a module computes is read by both or by neither."""
    for arguments in ("", "('[]')", "(1, 2)"):
        both_say(file, database, f"SELECT * FROM {module}{arguments} LIMIT 1")


@pytest.mark.parametrize("pragma", names("pragma"))
def test_every_pragma_of_this_build(pragma: str, file: Path, database: SqlDatabase) -> None:
    """No pragma is a statement, and each is a table for both or for neither."""
    for statement in (f"PRAGMA {pragma}", f"PRAGMA {pragma} = 1", f"PRAGMA main.{pragma}(singer)"):
        assert both_say(file, database, statement) == "refused"
    for arguments in ("", "('singer')", "(1)"):
        said = both_say(file, database, f"SELECT * FROM pragma_{pragma}{arguments} LIMIT 1")
        assert said != "rows" or pragma.endswith(("_info", "_xinfo", "_list"))
