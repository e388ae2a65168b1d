"""Hostile SQL changes nothing on any kind of database, and gets the status that its author expects.

`timeout` is one of these statuses: it shows that the deadline ended the statement. That each statement returns at all
is held by the time limit of each test.
"""

from __future__ import annotations

import csv
import hashlib
import os
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sql_graph import DatabaseLimits, SqlDatabase
from sql_graph.ports import ObservationStatus

HERE = Path(__file__).parent
pytestmark = pytest.mark.timeout(60)
ATTACKS: dict[str, dict[str, list[str]]] = tomllib.loads((HERE / "attacks.toml").read_text())


def attacks(kind: str) -> Any:
    """One parameter a hostile statement of `attacks.toml`: the status that it must get, and the statement."""
    cases = [(ObservationStatus(status), sql) for status, found in ATTACKS[kind].items() for sql in found]
    return pytest.mark.parametrize(("status", "sql"), cases, ids=[f"{s}-{q[:40]!r}" for s, q in cases])


def fingerprint(path: Path) -> tuple[str, list[str]]:
    """The digest of a file, and the names of all that is beside it."""
    return hashlib.sha256(path.read_bytes()).hexdigest(), sorted(other.name for other in path.parent.iterdir())


@attacks("sqlite")
def test_sqlite(
    singers: Path, limits: DatabaseLimits, monkeypatch: pytest.MonkeyPatch, status: ObservationStatus, sql: str
) -> None:
    """Each gets the status its author expects, and neither the file nor its folder changes."""
    monkeypatch.chdir(singers.parent)
    before = fingerprint(singers)
    with SqlDatabase(singers, limits=limits) as database:
        assert database.run(sql).status == status
        assert database.run("SELECT count(*) FROM singer").text == "count(*)\n3\n1 row"
    assert fingerprint(singers) == before


@pytest.fixture(scope="module", params=["admin", "user"])
def postgresql_database(request: pytest.FixtureRequest, postgresql: Any, limits: DatabaseLimits) -> Iterator[Any]:
    """The shop as a superuser and as a user who may write."""
    url = postgresql.admin_url if request.param == "admin" else postgresql.user_url
    with SqlDatabase(url, limits=limits) as database:
        yield database, postgresql.state


@pytest.mark.server
@attacks("postgresql")
def test_postgresql(postgresql_database: Any, status: ObservationStatus, sql: str) -> None:
    """Each gets the status its author expects, and all that the server holds stays as it was."""
    database, state = postgresql_database
    before = state()
    observation = database.run(sql)
    assert observation.status == status, observation.text
    assert state() == before
    assert database.run("SELECT count(*) FROM people").text == "count\n2\n1 row"


@pytest.fixture(scope="module", params=["admin", "user"])
def mysql_database(request: pytest.FixtureRequest, mysql: Any, limits: DatabaseLimits) -> Iterator[Any]:
    """The shop as a user with all rights on the server and as one with all rights in the shop."""
    url = mysql.admin_url if request.param == "admin" else mysql.user_url
    with SqlDatabase(url, limits=limits) as database:
        yield database, mysql.state


@pytest.mark.server
@attacks("mysql")
def test_mysql(mysql_database: Any, status: ObservationStatus, sql: str) -> None:
    """Each gets the status its author expects, and all that the server holds stays as it was."""
    database, state = mysql_database
    before = state()
    observation = database.run(sql)
    assert observation.status == status, observation.text
    assert state() == before
    assert database.run("SELECT count(*) FROM people").text == "count(*)\n2\n1 row"


@pytest.fixture(scope="module")
def duckdb_database(shop_duckdb: Path, limits: DatabaseLimits) -> Iterator[SqlDatabase]:
    """The shop as a DuckDB file, its process started."""
    with SqlDatabase(shop_duckdb, limits=limits) as database:
        database.run("SELECT 1")
        yield database


@attacks("duckdb")
def test_duckdb(duckdb_database: SqlDatabase, shop_duckdb: Path, status: ObservationStatus, sql: str) -> None:
    """Each gets the status its author expects, and neither the file nor its folder changes."""
    before = fingerprint(shop_duckdb)
    observation = duckdb_database.run(sql)
    assert observation.status == status, observation.text
    assert fingerprint(shop_duckdb) == before
    assert duckdb_database.run("SELECT count(*) AS n FROM people").text == "n\n2\n1 row"


def adversarial_cases() -> list[Any]:
    """The predictions of `adversarial.tsv` that name a database which is there."""
    root = Path(os.environ.get("SQL_TEST_DATA", HERE.parents[4] / "shared" / "data"))
    table = root / "adversarial.tsv"
    if not table.exists():
        return [pytest.param(None, "", marks=pytest.mark.skip(reason=f"no test data at {root}; set SQL_TEST_DATA"))]
    cases: list[Any] = []
    with table.open(newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE):
            for folder in (root / "spider" / "database", root / "adversarial_dbs"):
                path = folder / row["db"] / f"{row['db']}.sqlite"
                if path.exists():
                    sql = row["pred"].replace("\\n", "\n").replace("\\t", "\t")
                    cases.append(pytest.param(path, sql, id=row["case"]))
    return cases


@pytest.mark.data
@pytest.mark.parametrize(("path", "sql"), adversarial_cases())
def test_adversarial_predictions(path: Path, sql: str, limits: DatabaseLimits) -> None:
    """No known trick changes a Spider database or its folder, or keeps the agent from an observation."""
    before = fingerprint(path)
    with SqlDatabase(path, limits=limits) as database:
        assert database.run(sql).text
    assert fingerprint(path) == before
