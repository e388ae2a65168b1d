"""PostgreSQL, MySQL and DuckDB for real: schemas, values, lost connections, and no trace from one query to the next."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from sql_graph import DatabaseLimits, SqlDatabase
from sql_graph.errors import DatabaseUnavailableError
from sql_graph.ports import ObservationStatus, SchemaStyle

WHOLE = 1_000_000

POSTGRESQL_TEXT = """CREATE TABLE n (
  i INTEGER
);
CREATE TABLE people ( -- everybody we know
  id INTEGER PRIMARY KEY,
  name TEXT, -- 'Ann', 'Bob'
  mood mood, -- 'calm', 'angry'
  born DATE,
  "Pay" NUMERIC(9, 2), -- monthly, EUR
  ok BOOLEAN,
  photo BYTEA,
  doc JSON
);
CREATE VIEW named (
  name TEXT -- 'Ann', 'Bob'
);
CREATE TABLE sales."Order Lines" (
  people_id INTEGER,
  "select" TEXT,
  PRIMARY KEY (people_id, "select"),
  FOREIGN KEY (people_id) REFERENCES people(id)
);"""

MYSQL_TEXT = """CREATE TABLE n (
  i INTEGER
);
CREATE TABLE oldstyle (
  i INTEGER
);
CREATE TABLE `order lines` (
  people_id INTEGER,
  `select` ENUM('small','large'), -- 'small'
  photo BLOB,
  price DECIMAL(9, 2),
  FOREIGN KEY (people_id) REFERENCES people(id)
);
CREATE TABLE people ( -- everybody we know
  id INTEGER PRIMARY KEY,
  name VARCHAR(40), -- first name; 'Ann', 'Bob'
  born DATE
);
CREATE VIEW named (
  name VARCHAR(40) -- 'Ann', 'Bob'
);"""

DUCKDB_TEXT = """CREATE TABLE archive.people (
  name VARCHAR
);
CREATE TABLE "Order" (
  people_id INTEGER,
  "unit price" DECIMAL(9,2),
  FOREIGN KEY (people_id) REFERENCES people(id)
);
CREATE TABLE people ( -- everybody we know
  id INTEGER PRIMARY KEY,
  name VARCHAR, -- 'Ann', 'Bob'
  seen TIMESTAMP WITH TIME ZONE -- last visit
);
CREATE VIEW named (
  name VARCHAR -- 'Ann', 'Bob'
);"""


def full_text(database: SqlDatabase) -> str:
    """The whole schema in the full style."""
    return database.schema_text("q", budget_tokens=WHOLE, style=SchemaStyle.FULL)


@pytest.mark.server
def test_postgresql_schema_and_values(postgresql: Any) -> None:
    """Enums, comments, capitals, other schemas; and values that Python has no type for."""
    for url in (postgresql.admin_url, postgresql.user_url):
        with SqlDatabase(url) as database:
            assert database.dialect == "PostgreSQL"
            assert full_text(database) == POSTGRESQL_TEXT
            assert database.run(
                "SELECT born, \"Pay\", ok, photo, '{1,2}'::int[] AS a, 5 % 3 AS m FROM people"
            ).text == (
                "born | Pay | ok | photo | a | m\n"
                "0044-03-15 BC | 12.50 | true | x'0102' | {1,2} | 2\n"
                "infinity | NULL | false | NULL | {1,2} | 2\n"
                "2 rows"
            )


@pytest.mark.server
def test_postgresql_hints_reach_the_model(postgresql: Any) -> None:
    """The server's own hint is worth its words."""
    with SqlDatabase(postgresql.user_url) as database:
        text = database.run("SELECT pay FROM people").text
    assert text == 'Error: column "pay" does not exist; Perhaps you meant to reference the column "people.Pay".'


@pytest.mark.server
def test_postgresql_queries_leave_no_trace(postgresql: Any) -> None:
    """The next query on the same connection starts from scratch, as a role without rights, in a new transaction."""
    with SqlDatabase(postgresql.admin_url) as database:
        database.run("SELECT setseed(0.5)")
        assert (
            "pg_read_all_data | on"
            in database.run("SELECT current_user, current_setting('transaction_read_only') AS ro").text
        )
    with SqlDatabase(postgresql.user_url) as database:
        assert "clerk | on" in database.run("SELECT current_user, current_setting('transaction_read_only') AS ro").text


@pytest.mark.server
def test_postgresql_comes_back_after_its_connections_are_cut(postgresql: Any) -> None:
    """A connection that the server ended while it was idle is replaced without a word."""
    import psycopg

    with SqlDatabase(postgresql.user_url) as database:
        assert database.run("SELECT 1").status is ObservationStatus.ROWS
        with psycopg.connect(postgresql.admin_url, autocommit=True) as admin:
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'clerk'")
        assert database.run("SELECT 1").status is ObservationStatus.ROWS


@pytest.mark.server
def test_postgresql_a_query_cut_down_by_the_server(postgresql: Any) -> None:
    """When the server ends a running query's connection, that is the query's observation, and the next one runs."""
    import psycopg

    with SqlDatabase(postgresql.user_url, limits=DatabaseLimits(deadline_s=10)) as database:

        def cut() -> None:
            with psycopg.connect(postgresql.admin_url, autocommit=True) as admin:
                admin.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(9)%'"
                )

        timer = threading.Timer(0.5, cut)
        timer.start()
        seen = database.run("SELECT pg_sleep(9)")
        timer.join()
        assert seen.status is ObservationStatus.ERROR
        assert "closed the connection" in seen.text
        assert database.run("SELECT 1").status is ObservationStatus.ROWS


@pytest.mark.server
def test_mysql_schema_and_values(mysql: Any) -> None:
    """Enums, comments, reserved words; and values as the server writes them."""
    for url in (mysql.admin_url, mysql.user_url):
        with SqlDatabase(url) as database:
            assert database.dialect == "MySQL"
            assert full_text(database) == MYSQL_TEXT
            assert database.run("SELECT *, 5 % 3 AS `50%s` FROM `order lines`").text == (
                "people_id | select | photo | price | 50%s\n1 | small | x'0102' | 12.50 | 2\n1 row"
            )


@pytest.mark.server
def test_mysql_user_variables_do_not_outlive_their_query(mysql: Any) -> None:
    """State of one turn never changes the next."""
    with SqlDatabase(mysql.user_url) as database:
        assert database.run("SELECT @a := 5 AS a").text == "a\n5\n1 row"
        assert database.run("SELECT @a AS a").text == "a\nNULL\n1 row"


@pytest.mark.server
def test_mysql_long_results_are_cut(mysql: Any) -> None:
    """Half a billion rows, with a LIMIT or without, are fetched no further than the cap."""
    with SqlDatabase(mysql.user_url, limits=DatabaseLimits(max_rows=100, shown_rows=1)) as database:
        for sql in ("SELECT a.i FROM n a, n b, n c", "SELECT a.i FROM n a, n b, n c LIMIT 400000000"):
            seen = database.run(sql)
            assert seen.text.endswith("more than 100 rows, first 1 shown")
        assert database.run("SELECT count(*) AS n FROM n").text == "n\n900\n1 row"


@pytest.mark.server
def test_postgresql_long_results_are_cut(postgresql: Any) -> None:
    """Eight billion rows, and rows of many bytes, are fetched no further than the caps."""
    with SqlDatabase(postgresql.user_url, limits=DatabaseLimits(max_rows=100, shown_rows=1)) as database:
        seen = database.run("SELECT a.i FROM n a, n b, n c")
        assert seen.text.endswith("more than 100 rows, first 1 shown")
        assert database.run("SELECT count(*) AS n FROM n").text == "n\n2000\n1 row"
    with SqlDatabase(postgresql.user_url, limits=DatabaseLimits(max_bytes=1_000_000, shown_rows=1)) as database:
        assert database.run("SELECT repeat('x', 400000) FROM n").row_count == 2
        assert database.run("SELECT repeat('x', 20000000)").status is ObservationStatus.TOO_LARGE


@pytest.mark.server
@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_a_wrong_password_or_name_is_said_without_secrets(kind: str, request: pytest.FixtureRequest) -> None:
    """One line that says what to check, and never the password."""
    server = request.getfixturevalue(kind)
    nobody = server.user_url.replace("clerk", "nobody").replace("s3cret", "wr0ng")
    for url in (nobody, server.user_url.replace("/shop", "/nosuch")):
        with pytest.raises(DatabaseUnavailableError, match="check the server") as caught:
            SqlDatabase(url).run("SELECT 1")
        message = str(caught.value)
        assert "\n" not in message
        assert "pa55" not in message


def test_duckdb_schema_and_values(shop_duckdb: Path) -> None:
    """A file is known as DuckDB by its name or its URL; times with zone need no further package."""
    for address in (shop_duckdb, f"duckdb:///{shop_duckdb}"):
        with SqlDatabase(address) as database:
            assert database.dialect == "DuckDB"
            assert full_text(database) == DUCKDB_TEXT
            assert database.run("FROM people ORDER BY id").text == (
                "id | name | seen\n1 | Ann | 2024-01-02 03:04:05+00\n2 | Bob | NULL\n2 rows"
            )


def test_duckdb_long_results_and_values_are_cut(shop_duckdb: Path) -> None:
    """Rows and bytes stop at their caps; a query that needs too much memory does not take it."""
    with SqlDatabase(shop_duckdb, limits=DatabaseLimits(deadline_s=20, max_rows=100, shown_rows=1)) as database:
        assert database.run("FROM range(10000000000)").text == "range\n0\nmore than 100 rows, first 1 shown"
        assert database.run("SELECT repeat('x', 20000000)").status is ObservationStatus.TOO_LARGE
        assert database.run("SELECT count(*) AS n FROM people").text == "n\n2\n1 row"


def test_duckdb_that_someone_writes_is_unavailable(tmp_path: Path) -> None:
    """A file that another process holds for writing raises at once, with the reason."""
    duckdb = pytest.importorskip("duckdb", reason="the DuckDB extra is not installed")
    path = tmp_path / "busy.duckdb"
    writer = duckdb.connect(str(path))
    writer.execute("CREATE TABLE t (a int)")
    writer.execute("CHECKPOINT")
    with pytest.raises(DatabaseUnavailableError, match=r"busy\.duckdb"):
        SqlDatabase(path).run("SELECT 1")
    writer.close()
    assert SqlDatabase(path).run("SELECT count(*) AS n FROM t").text == "n\n0\n1 row"
