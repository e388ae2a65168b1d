"""Small databases and a schema of their own, so that these tests need no data; and where the Spider data is."""

import os
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from sql_reward.exact import Schema

PROJECT_ROOT = Path(__file__).resolve().parents[4]
IMPORTABLE = Path(__file__).parent / "importable"

SINGERS = """
CREATE TABLE singer (singer_id INTEGER PRIMARY KEY, name TEXT, age INTEGER, country TEXT);
CREATE TABLE concert (concert_id INTEGER PRIMARY KEY, title TEXT, year INTEGER);
CREATE TABLE singer_in_concert (
    concert_id INTEGER REFERENCES concert (concert_id), singer_id INTEGER REFERENCES singer
);
INSERT INTO singer VALUES (1, 'Ada', 30, 'France'), (2, 'Bo', 41, 'France'), (3, 'Cy', 25, 'Chile');
INSERT INTO concert VALUES (1, 'Opening', 2014), (2, 'Finale', 2015);
INSERT INTO singer_in_concert VALUES (1, 1), (1, 2), (2, 1);
"""
TREES = """
CREATE TABLE tree (tree_id INTEGER PRIMARY KEY, kind TEXT, height REAL);
INSERT INTO tree VALUES (1, 'oak', 12.5), (2, 'oak', 9.0), (3, 'ash', 20.0);
"""


def make_database(file: Path, script: str) -> Path:
    """A SQLite file made by a script, in a folder that is made too."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(script)
    return file


@pytest.fixture(scope="session")
def db_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`singers` with one database file, `trees` with a suite of two."""
    root = tmp_path_factory.mktemp("databases")
    make_database(root / "singers" / "singers.sqlite", SINGERS)
    make_database(root / "trees" / "trees.sqlite", TREES)
    make_database(root / "trees" / "trees_v1.sqlite", TREES + "INSERT INTO tree VALUES (4, 'elm', 1.0);")
    return root


@pytest.fixture(scope="session")
def schema() -> Schema:
    """The names of `singers`, its keys joined as its declaration says."""
    return Schema.of(
        {
            "singer": ["singer_id", "name", "age", "country"],
            "concert": ["concert_id", "title", "year"],
            "singer_in_concert": ["concert_id", "singer_id"],
        },
        [
            ("singer_in_concert.concert_id", "concert.concert_id"),
            ("singer_in_concert.singer_id", "singer.singer_id"),
        ],
    )


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Callable[[object], object]]:
    """Functions that worker processes can import: spawned interpreters take over `sys.path`."""
    monkeypatch.syspath_prepend(IMPORTABLE)
    import planted_functions  # pyright: ignore[reportMissingImports]  on the path since the line before

    return lambda name: getattr(planted_functions, name)


@pytest.fixture(scope="session")
def spider_data() -> Path:
    """The folder of the Spider test data."""
    folder = Path(os.environ.get("SQL_TEST_DATA") or PROJECT_ROOT.parent / "shared" / "data")
    if not (folder / "parity_public.jsonl").is_file():
        pytest.skip(f"the Spider test data is not at {folder}; set SQL_TEST_DATA to its folder")
    return folder


@pytest.fixture(scope="session")
def python() -> str:
    """The interpreter that runs the tests."""
    return sys.executable
