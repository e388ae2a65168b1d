"""Addresses of databases: what cannot be opened says what to install or mend, and secrets stay secret."""

from __future__ import annotations

import logging
import pickle
import traceback

import pytest
from sqlalchemy.engine import make_url

from sql_graph import DatabaseError, DatabaseLimits, SqlDatabase
from sql_graph.databases.generic import GenericBackend
from sql_graph.errors import DatabaseUnavailableError, UnknownDialectError
from sql_graph.ports import SchemaStyle

SECRET = "s3cret-pa55"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (f"nosuch://u:{SECRET}@h/d", "no SQLAlchemy dialect 'nosuch' is installed"),
        (f"mssql+pyodbc://u:{SECRET}@h/d", "driver for 'mssql.pyodbc' is not installed"),
        (f"postgresql://u:{SECRET}@h:port/d", "not a database URL; expected dialect://user:password@host/name"),
        ("://", "not a database URL"),
    ],
)
def test_an_unknown_dialect(url: str, words: str) -> None:
    """One line that says what is missing, without the URL."""
    with pytest.raises(UnknownDialectError, match=words) as caught:
        SqlDatabase(url)
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "module", "extra"),
    [
        ("postgresql://h/d", "psycopg", "postgresql"),
        ("mysql://h/d", "pymysql", "mysql"),
        ("mariadb://h/d", "pymysql", "mysql"),
        ("duckdb:///d.duckdb", "duckdb", "duckdb"),
    ],
)
def test_a_missing_driver_names_its_extra(url: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message holds the command that installs the driver."""
    for home in ("sql_graph.databases", "sql_graph.databases.duckdb"):
        monkeypatch.setattr(f"{home}.find_spec", lambda name: None if name == module else object())
    with pytest.raises(UnknownDialectError, match=rf"pip install 'sql-graph\[{extra}\]'"):
        SqlDatabase(url)


@pytest.mark.parametrize("dialect", ["postgresql", "postgresql+psycopg2", "mysql", "mariadb", "mysql+mysqldb"])
def test_no_secret_leaves_a_database(dialect: str, caplog: pytest.LogCaptureFixture) -> None:
    """Neither repr, error, traceback nor log of a server that does not answer holds the password or the URL."""
    url = f"{dialect}://clerk:{SECRET}@127.0.0.1:1/shop"
    database = SqlDatabase(url)
    said = [repr(database), str(database), f"{database!r}"]
    with caplog.at_level(logging.DEBUG):
        for attempt in (
            lambda: database.run("SELECT 1"),
            lambda: database.schema_text("q", budget_tokens=99, style=SchemaStyle.FULL),
        ):
            with pytest.raises(DatabaseUnavailableError, match=r"'shop' at 127\.0\.0\.1:1") as caught:
                attempt()
            error = pickle.loads(pickle.dumps(caught.value))
            said += [str(error), repr(error), "".join(traceback.format_exception(caught.value))]
    said.append(caplog.text)
    for text in said:
        assert SECRET not in text
        assert f"{dialect}://" not in text


def test_a_database_without_a_name() -> None:
    """A MySQL URL must say which of the server's databases is meant."""
    with pytest.raises(DatabaseError, match="add its name after the host"):
        SqlDatabase("mysql://u@127.0.0.1:1").schema_text("q", budget_tokens=99, style=SchemaStyle.FULL)


class TestAnyOtherDialect:
    """The backend for dialects without one of their own, tried on SQLite as if it were one."""

    @pytest.fixture
    def backend(self, singers: object) -> GenericBackend:
        """The singers through SQLAlchemy alone."""
        return GenericBackend(make_url(f"sqlite:///{singers}"))

    @pytest.mark.parametrize(
        "sql",
        [
            "DELETE FROM singer",
            "SELECT 1; DELETE FROM singer",
            "WITH x AS (SELECT 1) DELETE FROM singer",
            "WITH x AS (SELECT 1) UPDATE singer SET name = ''",
            "WITH x AS (SELECT 1) INSERT INTO singer SELECT 9, 'x', 1",
            "SELECT * INTO t FROM singer",
            "/* SELECT */ DROP TABLE singer",
            "EXEC wipe",
            "PRAGMA user_version = 1",
        ],
    )
    def test_writes_are_refused_by_their_words(self, backend: GenericBackend, sql: str) -> None:
        """No statement that writes reaches the driver."""
        outcome = backend.fetch(sql, limits=DatabaseLimits())
        assert getattr(outcome, "status", None) == "refused"

    def test_reads_run(self, backend: GenericBackend) -> None:
        """Words of writing in strings and quoted names are no writing; `%` is only a percent sign."""
        outcome = backend.fetch(
            "SELECT name AS \"delete\", 'DROP; it''s' AS a, 5 % 3 AS m FROM singer WHERE name LIKE 'A%'",
            limits=DatabaseLimits(),
        )
        assert getattr(outcome, "columns", None) == ("delete", "a", "m")
        assert getattr(outcome, "rows", None) == [("Ann", "DROP; it's", 2)]

    def test_the_deadline_holds(self, backend: GenericBackend, limits: DatabaseLimits) -> None:
        """An endless query is left behind and its connection interrupted."""
        outcome = backend.fetch(
            "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r", limits=limits
        )
        assert getattr(outcome, "status", None) == "timeout"

    def test_errors_are_the_databases_own_words(self, backend: GenericBackend) -> None:
        """No statement, no link, no class of the driver."""
        outcome = backend.fetch("SELECT nme FROM singer", limits=DatabaseLimits())
        assert getattr(outcome, "message", None) == "no such column: nme"

    def test_the_schema_is_read(self, backend: GenericBackend) -> None:
        """Tables and columns come from SQLAlchemy's inspector, samples from a query in the dialect."""
        schema = backend.read_schema()
        assert [table.name for table in schema.tables] == ["n", "singer"]
        query = backend.sampling_query("singer", ["name"], rows=2)
        outcome = backend.fetch(query, limits=DatabaseLimits())
        assert getattr(outcome, "rows", None) == [("Ann",), ("Bob",)]
