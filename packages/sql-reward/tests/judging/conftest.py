"""A small database for the judge's tests, and where the Spider data is."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

PROJECT_ROOT = Path(__file__).resolve().parents[4]

TOY = """
CREATE TABLE singer (id INTEGER PRIMARY KEY, name TEXT, age INTEGER, country TEXT, fee REAL);
INSERT INTO singer VALUES (1, 'Ada', 30, 'France', 10.0), (2, 'Bo', 41, 'France', 0.1), (3, 'Cy', 25, 'Chile', 0.2),
                          (4, 'Di', 30, NULL, NULL), (5, 'Ed', 41, 'Chile', 0.3);
CREATE TABLE song (id INTEGER PRIMARY KEY, singer_id INTEGER REFERENCES singer, title TEXT, plays INTEGER);
INSERT INTO song VALUES (1, 1, 'One > = two', 10), (2, 1, 'distinct', 10), (3, 2, 'order by', 10), (4, 5, 'Dé', 7);
CREATE INDEX song_plays ON song (plays);
CREATE TABLE nobody (a INTEGER, b INTEGER);
CREATE TABLE raw (x BLOB);
INSERT INTO raw VALUES (CAST(x'61E962' AS TEXT)), (x'FF');
CREATE TABLE tag (label TEXT COLLATE NOCASE, code TEXT, n INTEGER);
INSERT INTO tag VALUES ('a', 'x ', 1), ('A', 'X', 2), ('b', 'x', 3), ('B', 'y', 3);
CREATE VIEW french AS SELECT * FROM singer WHERE country = 'France';
"""


def make_database(file: Path, script: str) -> Path:
    """A SQLite file made by a script, in a folder that is made too."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(script)
    return file


@pytest.fixture(scope="session")
def database_of() -> Callable[[Path, str], Path]:
    """`make_database`, for tests with a database of their own."""
    return make_database


@pytest.fixture(scope="session")
def toy_db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Singers and songs, an empty table, and a cell that is not UTF-8."""
    return make_database(tmp_path_factory.mktemp("toy") / "toy.sqlite", TOY)


@pytest.fixture(scope="session")
def numbers_db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of 5,000 rows, so that joining it with itself takes as long as anyone likes."""
    script = """
    CREATE TABLE n (i INTEGER PRIMARY KEY, t TEXT);
    WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r LIMIT 5000)
    INSERT INTO n SELECT i, 'row ' || i FROM r;
    """
    return make_database(tmp_path_factory.mktemp("numbers") / "numbers.sqlite", script)


@pytest.fixture(scope="session")
def spider_data() -> Path:
    """The folder of the Spider test data."""
    root = Path(os.environ.get("SQL_TEST_DATA", PROJECT_ROOT.parent / "shared" / "data"))
    if not (root / "parity_public.jsonl").is_file():
        pytest.skip(
            f"needs the Spider test data: expected parity_public.jsonl in {root}; set SQL_TEST_DATA to its folder"
        )
    return root


@pytest.fixture
def make_suite() -> Callable[[Path, list[str]], Path]:
    """Make a folder with databases that hold one table t(i) each, from lists of rows; the first is the main file."""

    def make(folder: Path, contents: list[str]) -> Path:
        for number, rows in enumerate(contents):
            name = f"{folder.name}_v{number}.sqlite" if number else f"{folder.name}.sqlite"
            make_database(folder / name, f"CREATE TABLE t (i INTEGER); INSERT INTO t VALUES {rows};")
        return folder

    return make
