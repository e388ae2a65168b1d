"""SQLite files in every state: missing, empty, odd, replaced, shared, in use."""

from __future__ import annotations

import gc
import multiprocessing
import os
import pickle
import sqlite3
import subprocess
import sys
import threading
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from sql_graph import DatabaseLimits, SqlDatabase, UsageError
from sql_graph.databases import Fault
from sql_graph.databases.planning import MAX_WORK, planning_work
from sql_graph.databases.statement import prepare
from sql_graph.errors import DatabaseNotFoundError, DatabaseUnavailableError, EmptyDatabaseError
from sql_graph.ports import ObservationStatus, SchemaStyle

PROGRAMS = Path(__file__).parents[1] / "programs"


def make(path: Path, script: str) -> Path:
    """A SQLite file made by a script."""
    connection = sqlite3.connect(path)
    connection.executescript(script)
    connection.close()
    return path


@pytest.mark.parametrize("address", ["{}", "sqlite:///{}", "duckdb:///{}"])
def test_a_missing_file_is_said_and_never_created(tmp_path: Path, address: str) -> None:
    """A database that is not there raises, whatever is asked of it, and is still not there afterwards."""
    path = tmp_path / "none.sqlite"
    database = SqlDatabase(address.format(path))
    with pytest.raises(DatabaseNotFoundError, match=r"none\.sqlite.*never created"):
        database.run("SELECT 1")
    with pytest.raises(DatabaseNotFoundError, match="none"):
        database.schema_text("q", budget_tokens=100, style=SchemaStyle.FULL)
    assert list(tmp_path.iterdir()) == []


def test_an_address_without_a_file(tmp_path: Path) -> None:
    """A folder, a file that is no database and no name at all each get one clear line."""
    text = tmp_path / "notes.txt"
    text.write_text("no database at all, only a line of text that is long enough to look at\n" * 20)
    with pytest.raises(DatabaseUnavailableError, match="is a folder"):
        SqlDatabase(tmp_path).run("SELECT 1")
    with pytest.raises(DatabaseUnavailableError, match=r"notes\.txt.*not a database"):
        SqlDatabase(text).run("SELECT 1")
    with pytest.raises(DatabaseUnavailableError, match=r"notes\.txt.*not a database"):
        SqlDatabase(text).schema_text("q", budget_tokens=100, style=SchemaStyle.FULL)
    for address in ("", "sqlite://", "sqlite:///:memory:", "duckdb:///:memory:"):
        with pytest.raises(DatabaseNotFoundError):
            SqlDatabase(address)


def test_an_empty_database_has_no_schema(tmp_path: Path) -> None:
    """No table, no agent: an error that says so, not an empty prompt."""
    path = tmp_path / "empty.sqlite"
    path.touch()
    with pytest.raises(EmptyDatabaseError, match=r"empty\.sqlite.*no table"):
        SqlDatabase(path).schema_text("q", budget_tokens=100, style=SchemaStyle.FULL)
    assert path.stat().st_size == 0


def test_a_broken_file_is_our_fault_not_the_models(singers: Path) -> None:
    """A torn file raises; it never becomes an observation that a model would be blamed for."""
    content = singers.read_bytes()
    singers.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    with pytest.raises(DatabaseUnavailableError, match="malformed"):
        SqlDatabase(singers).run("SELECT * FROM singer")


def test_wal_mode_leaves_nothing_behind(singers: Path) -> None:
    """Reading a database in WAL mode makes no -wal and no -shm file, and sees a writer's rows while there is one."""
    make(singers, "PRAGMA journal_mode = WAL; INSERT INTO singer VALUES (4, 'Zoe', 1);")
    before = (singers.read_bytes(), sorted(singers.parent.iterdir()))
    with SqlDatabase(singers) as database:
        assert database.run("SELECT count(*) FROM singer").text == "count(*)\n4\n1 row"
        assert (singers.read_bytes(), sorted(singers.parent.iterdir())) == before
        writer = sqlite3.connect(singers)
        writer.execute("INSERT INTO singer VALUES (5, 'Una', 2)")
        writer.commit()
        assert database.run("SELECT count(*) FROM singer").text == "count(*)\n5\n1 row"
        writer.close()


def test_a_writers_lock_in_this_process_outlives_our_reading(singers: Path) -> None:
    """Reading never opens the file behind SQLite's back: that would silently drop the locks of this process."""
    writer = sqlite3.connect(singers, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    with SqlDatabase(singers) as database:
        database.schema_text("q", budget_tokens=1000, style=SchemaStyle.FULL)
        assert database.run("SELECT count(*) FROM singer").status is ObservationStatus.ROWS
    command = [sys.executable, str(PROGRAMS / "begin_to_write.py"), str(singers)]
    tried = subprocess.run(command, capture_output=True, text=True, check=True)
    assert tried.stdout == "database is locked\n"
    writer.close()


def test_a_replaced_file_is_noticed(singers: Path, tmp_path: Path) -> None:
    """Rows and schema are those of the file that is there now."""
    with SqlDatabase(singers) as database:
        assert database.run("SELECT count(*) FROM singer").text.startswith("count(*)\n3")
        assert "pets" not in database.schema_text("q", budget_tokens=1000, style=SchemaStyle.COMPACT)
        make(tmp_path / "other.sqlite", "CREATE TABLE pets (name TEXT);").replace(singers)
        assert database.run("SELECT count(*) FROM pets").text.startswith("count(*)\n0")
        assert database.schema_text("q", budget_tokens=1000, style=SchemaStyle.COMPACT) == "pets(name text)"


def test_odd_names_in_the_path(tmp_path: Path) -> None:
    """A path may hold what means something in a URL."""
    folder = tmp_path / "a b?c#d%20e"
    folder.mkdir()
    path = make(folder / "ü?mode=rwc.sqlite", "CREATE TABLE t (a); INSERT INTO t VALUES (1);")
    assert SqlDatabase(path).run("SELECT a FROM t").text == "a\n1\n1 row"
    assert SqlDatabase(str(path)).run("SELECT a FROM t").text == "a\n1\n1 row"


def test_long_results_are_cut(singers: Path) -> None:
    """Rows stop at `max_rows`, bytes at `max_bytes`, and the text says that there is more."""
    with SqlDatabase(singers, limits=DatabaseLimits(max_rows=50, shown_rows=2)) as database:
        seen = database.run("SELECT i FROM n")
        assert (seen.status, seen.row_count, seen.truncated) == (ObservationStatus.ROWS, 50, True)
        assert seen.text == "i\n1\n2\nmore than 50 rows, first 2 shown"
        assert database.run("SELECT i FROM n LIMIT 50").text == "i\n1\n2\n50 rows, first 2 shown"
    with SqlDatabase(singers, limits=DatabaseLimits(max_bytes=1000)) as database:
        assert database.run("SELECT hex(zeroblob(100)) AS h FROM n").row_count == 5
        assert database.run("SELECT hex(zeroblob(1000))").status is ObservationStatus.TOO_LARGE


def test_sixteen_million_rows_stay_in_the_database(singers: Path) -> None:
    """A cross join is fetched no further than the cap."""
    with SqlDatabase(singers) as database:
        seen = database.run("SELECT a.i FROM n a, n b")
    assert (seen.status, seen.row_count, seen.truncated) == (ObservationStatus.ROWS, 10_000, True)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    """Text that is not UTF-8 is shown with replacement characters, blobs in hex."""
    path = make(tmp_path / "odd.sqlite", "CREATE TABLE t (a TEXT); INSERT INTO t VALUES (CAST(x'61ff62' AS TEXT));")
    with SqlDatabase(path) as database:
        assert database.run("SELECT a, x'00ff' AS b FROM t").text == "a | b\na\ufffdb | x'00ff'\n1 row"
        assert "'a\ufffdb'" in database.schema_text("q", budget_tokens=100, style=SchemaStyle.FULL)


@pytest.mark.parametrize(
    ("sql", "text"),
    [
        ("SELECT printf('%5.2f|%-4d|%s|%%|%05d', 3.14159, 7, 'x', 42)", " 3.14|7   |x|%|00042"),
        ("SELECT printf('%*d', 6, 5)", "     5"),
        ("SELECT format('%,d', 1234567)", "1,234,567"),
        ("SELECT printf('%s')", ""),
        ("SELECT printf(NULL)", "NULL"),
        ("SELECT trim('xxaxx', 'x')", "a"),
        ("SELECT ltrim('  a')", "a"),
        ("SELECT rtrim(NULL, 'x')", "NULL"),
    ],
)
def test_guarded_functions_still_work(singers: Path, sql: str, text: str) -> None:
    """The functions that are kept from building huge values give what SQLite's own give."""
    with SqlDatabase(singers) as database:
        assert database.run(sql).text.split("\n")[1] == text
    with sqlite3.connect(singers) as own:
        (value,) = own.execute(sql).fetchone()
    assert text == ("NULL" if value is None else value)


def test_reading_through_virtual_tables(tmp_path: Path) -> None:
    """Full-text and pragma tables and JSON are for reading too."""
    path = make(
        tmp_path / "docs.sqlite",
        """CREATE VIRTUAL TABLE docs USING fts5(title, body); INSERT INTO docs VALUES ('one', 'the quick fox');
        CREATE VIEW titles AS SELECT title FROM docs;""",
    )
    with SqlDatabase(path) as database:
        assert database.run("SELECT title FROM docs WHERE docs MATCH 'quick'").text == "title\none\n1 row"
        assert database.run("SELECT title FROM titles").text == "title\none\n1 row"
        assert database.run("SELECT value FROM json_each('[7]')").text == "value\n7\n1 row"
        assert database.run("SELECT name FROM pragma_table_info('titles')").text == "name\ntitle\n1 row"


def doubling(levels: int, *, quote: str = "") -> str:
    """A query whose WITH parts each use the one before twice."""
    names = [f"{quote}c{i}{quote}" for i in range(levels)]
    parts = [f"{name}(x) AS (SELECT a.x FROM {before} a, {before} b)" for before, name in pairwise(names)]
    return f"WITH {', '.join([f'{names[0]}(x) AS (SELECT 1)', *parts])} SELECT count(*) FROM {names[-1]}"


JOINED = " NATURAL JOIN ".join(f"n t{i}" for i in range(40))


@pytest.mark.parametrize(
    "sql",
    [
        doubling(40),
        doubling(40, quote='"'),
        doubling(40).replace(" AS (", " AS NOT MATERIALIZED ("),
        doubling(40).replace("a, ", "a CROSS JOIN "),
        f"SELECT * FROM {JOINED}",
        f"SELECT * FROM ({JOINED})",
        f"SELECT count(*) FROM {', '.join(f'n t{i}' for i in range(40))}",
        f"SELECT count(*) FROM ({', '.join(f'n t{i}' for i in range(40))})",
        f"SELECT count(*) FROM {', '.join(f'(SELECT a.i FROM n a, n b) t{i}' for i in range(20))}",
        f"WITH c AS (SELECT a.i FROM n a, n b, n c, n d) SELECT count(*) FROM {', '.join(f'c c{i}' for i in range(9))}",
        f"SELECT {', '.join(f'(SELECT 1 FROM {JOINED[:239]})' for _ in range(40))}",
        f"SELECT {'(' * 300}1{')' * 300}",
    ],
)
def test_what_would_take_long_to_plan_is_refused(singers: Path, sql: str) -> None:
    """SQLite cannot be stopped while it plans, so what it would plan for long is not begun."""
    with SqlDatabase(singers) as database:
        seen = database.run(sql)
    assert seen.status is ObservationStatus.REFUSED
    assert "too many tables" in seen.text


@pytest.mark.parametrize(
    "sql",
    [
        doubling(5),
        "SELECT count(*) FROM " + ", ".join(f"(SELECT 1 AS a) t{i}" for i in range(20)),
        f"WITH c0(x) AS (SELECT 1), {', '.join(f'c{i + 1}(x) AS (SELECT c{i}.x FROM c{i})' for i in range(39))}"
        " SELECT count(*) FROM c39",
        "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < 9) SELECT max(i) / 9 FROM r",
        " UNION ".join(["SELECT 1 FROM singer a JOIN singer b ON a.id = b.id JOIN singer c ON b.id = c.id"] * 30),
        f"SELECT count(*) FROM singer WHERE id IN (1{', 9' * 9000})",
        f"SELECT {'(' * 40}1{')' * 40}",
    ],
)  # fmt: skip
def test_what_is_soon_planned_runs(singers: Path, sql: str) -> None:
    """Long queries are no reason for suspicion."""
    with SqlDatabase(singers) as database:
        assert database.run(sql).text.split("\n")[1:] == ["1", "1 row"]


@pytest.mark.data
def test_every_gold_query_of_spider_may_run() -> None:
    """No query that people wrote is taken for an attack."""
    root = Path(os.environ.get("SQL_TEST_DATA", Path(__file__).parents[5] / "shared" / "data")) / "spider"
    if not root.exists():
        pytest.skip(f"no Spider data at {root}; set SQL_TEST_DATA")
    queries = [
        line.partition("\t")[0]
        for name in ("dev_gold.sql", "train_gold.sql", "test_gold.sql")
        for line in (root / name).read_text(encoding="utf-8").splitlines()
        if line.strip()
    ]
    assert len(queries) > 10_000
    refused = [sql for sql in queries if isinstance(prepare(sql), Fault) or planning_work(sql) > MAX_WORK]
    assert refused == []


def test_a_database_goes_through_pickle(singers: Path, limits: DatabaseLimits) -> None:
    """A copy in another process is the same database with the same limits."""
    copy = pickle.loads(pickle.dumps(SqlDatabase(singers, limits=limits)))
    assert copy.limits == limits
    assert copy.run("SELECT count(*) FROM singer").row_count == 1


def _count_in_child(database: SqlDatabase, answers: Any) -> None:
    answers.put(database.run("SELECT count(*) FROM singer").text)


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system cannot fork")
def test_a_database_survives_a_fork(singers: Path) -> None:
    """A child opens connections of its own, and the parent's still work afterwards."""
    context = multiprocessing.get_context("fork")
    database = SqlDatabase(singers)
    database.schema_text("q", budget_tokens=100, style=SchemaStyle.FULL)
    answers = context.Queue()
    child = context.Process(target=_count_in_child, args=(database, answers))
    child.start()
    assert answers.get(timeout=20) == "count(*)\n3\n1 row"
    child.join(20)
    assert database.run("SELECT count(*) FROM singer").text == "count(*)\n3\n1 row"
    database.close()


def test_threads_share_a_database(singers: Path) -> None:
    """Many threads at once each get their own answer."""
    database = SqlDatabase(singers)
    wrong: list[str] = []

    def ask(number: int) -> None:
        for _ in range(20):
            text = database.run(f"SELECT {number} AS a FROM singer").text
            if text != f"a\n{number}\n{number}\n{number}\n3 rows":
                wrong.append(text)

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    database.close()
    assert wrong == []


def test_a_closed_database_opens_again(singers: Path) -> None:
    """Closing gives connections back; it is no end."""
    database = SqlDatabase(singers)
    database.close()
    assert database.run("SELECT 1 AS a").text == "a\n1\n1 row"
    database.close()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are counted in /proc")
def test_a_forgotten_database_leaves_no_open_file(singers: Path) -> None:
    """Objects that nobody closed give their files back when they are collected."""

    def open_files() -> int:
        gc.collect()
        return len(list(Path("/proc/self/fd").iterdir()))

    SqlDatabase(singers).run("SELECT printf('%d', 1)")
    before = open_files()
    for _ in range(20):
        SqlDatabase(singers).run("SELECT printf('%d', 1)")
    assert open_files() <= before


@pytest.mark.parametrize("name", ["deadline_s", "max_rows", "max_bytes", "shown_rows", "max_cell_chars"])
def test_limits_are_positive(name: str) -> None:
    """A limit of nothing is a mistake that is said at once."""
    with pytest.raises(UsageError, match=f"{name} must be greater than 0, got 0"):
        DatabaseLimits(**{name: 0})  # type: ignore[arg-type]
