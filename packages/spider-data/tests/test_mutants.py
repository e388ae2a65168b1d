"""Mutants: each is one change away from its gold, and the changes that people make are among them."""

from __future__ import annotations

import sqlite3
import tomllib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from spider_data.suite.golds import Resolver
from spider_data.suite.mutants import mutants
from spider_data.suite.schema import read_schema

CASES = tomllib.loads((Path(__file__).parent / "mutants.toml").read_text("utf-8"))["case"]


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Persons and their pets."""
    path = tmp_path / "people.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT, age INTEGER, city TEXT);"
            "CREATE TABLE pet (id INTEGER PRIMARY KEY, name TEXT, owner INTEGER REFERENCES person(id));"
        )
    return path


@pytest.fixture
def resolver(people: Path) -> Resolver:
    """Names of the two tables."""
    return Resolver(read_schema(people))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_expected_mutants(case: dict[str, Any], resolver: Resolver, people: Path) -> None:
    """Each written mutant is made, under its kind; all mutants run, differ from the gold and from each other."""
    found = mutants(case["gold"], resolver, lambda table, column: ["Oslo", "Bern"] if column == "city" else [])
    made = {(str(mutant.kind), mutant.sql) for mutant in found}
    for kind, queries in case["mutants"].items():
        for query in queries:
            assert (kind, query) in made
    texts = [mutant.sql for mutant in found]
    assert len(set(texts)) == len(texts)
    assert case["gold"] not in texts
    with closing(sqlite3.connect(people)) as connection:
        for text in texts:
            connection.execute(text)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_asking_twice_gives_the_same(case: dict[str, Any], resolver: Resolver) -> None:
    """The tree is as it was after all changes, so a second call finds the same mutants in the same order."""
    assert mutants(case["gold"], resolver) == mutants(case["gold"], resolver)


def test_join_conditions_are_left_alone(resolver: Resolver) -> None:
    """The key of a join is not flipped: that is never a slip of one word."""
    found = mutants("SELECT T1.name FROM person AS T1 JOIN pet AS T2 ON T1.id = T2.owner", resolver)
    assert all("T1.id = T2.owner" in mutant.sql for mutant in found)


@pytest.mark.parametrize("sql", ["SELEC name FRM person", "", "SELECT ((("])
def test_what_cannot_be_parsed_has_no_mutants(sql: str, resolver: Resolver) -> None:
    """No exception, no mutants."""
    assert mutants(sql, resolver) == []


def test_unknown_columns_do_no_harm(resolver: Resolver, database: Callable[..., Path]) -> None:
    """A query about another schema has mutants too, only fewer."""
    assert mutants("SELECT a FROM nowhere WHERE b = 'x'", resolver)
