"""Running one statement: what it may read, what it may not do, and which files cannot be trusted."""

import hashlib
import multiprocessing
import os
import pickle
import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

import sql_reward
from sql_reward import (
    DatabaseNotFoundError,
    DatabaseUnreadableError,
    GoldSqlError,
    Limits,
    LimitsError,
    Outcome,
    Rows,
    SqlFailure,
    StalledError,
    judge,
    run_sql,
)
from sql_reward.scoring import InputError

FORBIDDEN = [
    "INSERT INTO singer (id) VALUES (99)",
    "UPDATE singer SET age = 1",
    "DELETE FROM singer",
    "REPLACE INTO singer (id) VALUES (1)",
    "INSERT INTO singer (id) VALUES (1) ON CONFLICT DO NOTHING RETURNING id",
    "DROP TABLE singer",
    "DROP VIEW french",
    "ALTER TABLE singer RENAME TO s",
    "CREATE TABLE x (i)",
    "CREATE TEMP TABLE x (i)",
    "CREATE TABLE x AS SELECT 1",
    "CREATE INDEX x ON singer (age)",
    "CREATE VIEW x AS SELECT 1",
    "CREATE TRIGGER x AFTER INSERT ON singer BEGIN SELECT 1; END",
    "CREATE VIRTUAL TABLE x USING fts5(a)",
    "ATTACH DATABASE 'attached.db' AS x",
    "ATTACH DATABASE ':memory:' AS x",
    "DETACH DATABASE main",
    "PRAGMA journal_mode = WAL",
    "PRAGMA user_version",
    "PRAGMA writable_schema = ON",
    "PRAGMA query_only = OFF",
    "PRAGMA table_info(singer)",
    "SELECT * FROM pragma_database_list",
    "SELECT * FROM pragma_user_version",
    "SELECT * FROM dbstat",
    "EXPLAIN SELECT 1",
    "explain query plan SELECT 1",
    "/* a */ -- b\n ; EXPLAIN SELECT 1",
    "VACUUM",
    "VACUUM INTO 'copy.db'",
    "REINDEX",
    "ANALYZE",
    "BEGIN",
    "BEGIN EXCLUSIVE",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT x",
    "RELEASE x",
    "SELECT load_extension('x.so')",
    "SELECT fts3_tokenizer('simple')",
    "SELECT sql FROM sqlite_stmt",
    "SELECT 1; DROP TABLE singer",
    "SELECT 1; SELECT 2",
]


def state(folder: Path) -> dict[str, str]:
    """Every file of a folder with a digest of its content."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def test_rows(toy_db: Path) -> None:
    """A query gives its columns and its rows, with Python's types."""
    found = run_sql(toy_db, "SELECT id, name, fee, country FROM singer WHERE id IN (1, 4)")
    assert isinstance(found, Rows)
    assert found.columns == ("id", "name", "fee", "country")
    assert found.rows == [(1, "Ada", 10.0, "France"), (4, "Di", None, None)]


@pytest.mark.parametrize("sql", FORBIDDEN)
def test_only_reading(sql: str, toy_db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is not one reading statement is refused as such, and leaves no trace in any folder."""
    monkeypatch.chdir(tmp_path)
    before = state(toy_db.parent)
    found = run_sql(toy_db, sql)
    assert isinstance(found, SqlFailure)
    # A statement that SQLite cannot even plan, here, is an error; it must not be anything else.
    assert found.outcome == (
        "sql_error" if sql in ("DETACH DATABASE main",) and "no such" in found.message else "forbidden"
    )
    assert state(toy_db.parent) == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "sql",
    [
        "WITH x AS (SELECT 1 AS i) SELECT i FROM x",
        "VALUES (1)",
        "SELECT * FROM french",
        "SELECT sum(age) OVER (ORDER BY id) FROM singer",
        "SELECT json_extract('{\"a\": 1}', '$.a')",
        "SELECT value FROM json_each('[1, 2]')",
        "SELECT printf('%05d|%-5s|%.2f', 42, 'ab', 1.005), format('%s', 1)",
        "SELECT trim('  a '), trim('xxaxx', 'x'), ltrim('xxa', 'x'), rtrim('axx', 'xy'), trim(12321, 1)",
        "SELECT trim(NULL, 'x'), trim('xax', NULL), trim('xax', ''), trim(x'616261', 'a'), trim('éaé', 'é')",
        "SELECT name FROM sqlite_master",
        "SELECT instr('abc', 'b'), replace('abc', 'b', 'x'), 'abc' LIKE '%b%', 'abc' GLOB '*b*', substr('abc', 2)",
        "SELECT strftime('%Y', '2020-01-02'), date('2020-01-02', '+1 day'), upper('a'), round(1.5), abs(-1)",
        "SELECT name, type FROM pragma_table_info('singer')",
        "SELECT m.name, p.name FROM sqlite_master m, pragma_table_info(m.name) p WHERE m.type = 'table'",
        "SELECT 'EXPLAIN' AS explain",
    ],
)
def test_reading_gives_what_sqlite_gives(sql: str, toy_db: Path) -> None:
    """Queries and built-in functions give on a guarded connection exactly what they give on a plain one."""
    found = run_sql(toy_db, sql)
    with closing(sqlite3.connect(toy_db)) as plain:
        assert isinstance(found, Rows), found
        assert found.rows == plain.execute(sql).fetchall()


def test_caps(toy_db: Path) -> None:
    """Rows, bytes, cells and the text itself are limited, each on its own."""
    numbers = "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r LIMIT 1000) SELECT i, 'some text' FROM r"
    for limits, sql, words in [
        (Limits(max_rows=999), numbers, "999 rows"),
        (Limits(max_bytes=10_000), numbers, "10000 bytes"),
        (Limits(max_cell_bytes=1_000), "SELECT zeroblob(1001)", "too big"),
        (Limits(max_sql_bytes=10), "SELECT 'aaaaaaaaaaaaaaaaaaaa'", "10 bytes"),
        (Limits(max_sql_bytes=10), "SELECT 'é€'", "10 bytes"),
    ]:
        found = run_sql(toy_db, sql, limits=limits)
        assert isinstance(found, SqlFailure)
        assert found.outcome == "too_large"
        assert words in found.message
    assert isinstance(run_sql(toy_db, numbers, limits=Limits(max_rows=1000)), Rows)


def test_limits_are_positive() -> None:
    """A limit that cannot work is refused where it is written."""
    with pytest.raises(LimitsError, match="deadline_s must be positive"):
        Limits(deadline_s=0)


def test_temporary_files_are_limited(numbers_db: Path) -> None:
    """A sort that would fill the disk is stopped by its size before its deadline."""
    sql = "SELECT a.t || b.t || hex(zeroblob(200)) FROM n a, n b ORDER BY 1 DESC"
    found = run_sql(numbers_db, sql, limits=Limits(deadline_s=20, max_temp_bytes=50_000_000))
    assert isinstance(found, SqlFailure)
    if not Path("/proc/thread-self/io").exists():
        pytest.skip("this system does not tell how much a thread writes: only the deadline bounds temporary files")
    assert found.outcome == "too_large"
    assert "temporary" in found.message


def test_stalled(numbers_db: Path) -> None:
    """A statement that gets no processor time within many deadlines raises: nothing can be said about it."""
    with pytest.raises(StalledError), HurriedClock():
        run_sql(numbers_db, "SELECT count(*) FROM n a, n b, n c", limits=Limits(deadline_s=1000, stall_factor=1e-9))


class HurriedClock:
    """Five wall-clock seconds pass for each that does: the guard's floor is five seconds, too long for a test."""

    def __enter__(self) -> None:
        from sql_reward.sandbox import guard

        self.guard, self.clock = guard, guard.perf_counter
        guard.perf_counter = lambda: 50 * self.clock()

    def __exit__(self, *_: object) -> None:
        self.guard.perf_counter = self.clock


@pytest.mark.parametrize(
    "name", ["a b.sqlite", "what?.sqlite", "half#.sqlite", "100%.sqlite", "%41.sqlite", "dé&=.sqlite"]
)
def test_any_path(name: str, toy_db: Path, tmp_path: Path) -> None:
    """File names that mean something in a URI are still file names."""
    shutil.copy(toy_db, tmp_path / name)
    assert isinstance(run_sql(tmp_path / name, "SELECT * FROM singer"), Rows)


def test_read_only_file(toy_db: Path, tmp_path: Path) -> None:
    """A file and a folder without write permission are enough."""
    shutil.copy(toy_db, tmp_path / "ro.sqlite")
    (tmp_path / "ro.sqlite").chmod(0o400)
    tmp_path.chmod(0o500)
    try:
        assert isinstance(run_sql(tmp_path / "ro.sqlite", "SELECT * FROM singer"), Rows)
    finally:
        tmp_path.chmod(0o700)


def test_missing(tmp_path: Path) -> None:
    """A missing file is an error that names it, and is not created."""
    with pytest.raises(DatabaseNotFoundError, match=r"missing\.sqlite"):
        run_sql(tmp_path / "missing.sqlite", "SELECT 1")
    assert list(tmp_path.iterdir()) == []


def test_not_a_database(tmp_path: Path) -> None:
    """Another kind of file is an error that names it, and so is a folder."""
    (tmp_path / "prose.sqlite").write_text("This is not a database. " * 100)
    with pytest.raises(DatabaseUnreadableError, match=r"prose\.sqlite.*not a database"):
        run_sql(tmp_path / "prose.sqlite", "SELECT 1")
    with pytest.raises(DatabaseUnreadableError):
        run_sql(tmp_path, "SELECT 1")


def test_corrupt(numbers_db: Path, tmp_path: Path) -> None:
    """A damaged page is an error that names the file, never a verdict on the query that met it."""
    content = bytearray(numbers_db.read_bytes())
    content[4096 * 3 : -4096] = b"\xa5" * (len(content) - 4096 * 4)
    (tmp_path / "bad.sqlite").write_bytes(content)
    with pytest.raises(DatabaseUnreadableError, match=r"bad\.sqlite"):
        run_sql(tmp_path / "bad.sqlite", "SELECT sum(length(t)) FROM n")


def test_locked(toy_db: Path, tmp_path: Path) -> None:
    """A database that someone is writing is an error that names it."""
    file = tmp_path / "busy.sqlite"
    shutil.copy(toy_db, file)
    with closing(sqlite3.connect(file, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises(DatabaseUnreadableError, match=r"busy\.sqlite.*locked"):
            run_sql(file, "SELECT 1")
        writer.execute("ROLLBACK")
    assert isinstance(run_sql(file, "SELECT 1"), Rows)


def test_write_ahead_log(tmp_path: Path) -> None:
    """Changes that are only in a log beside the file make it unreadable; merged, they are read. No file appears."""
    file = tmp_path / "log.sqlite"
    with closing(sqlite3.connect(file, isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("CREATE TABLE t AS SELECT 7 AS i")
        with pytest.raises(DatabaseUnreadableError, match=r"log\.sqlite-wal"):
            run_sql(file, "SELECT i FROM t")
    found = run_sql(file, "SELECT i FROM t")
    assert isinstance(found, Rows)
    assert found.rows == [(7,)]
    assert [entry.name for entry in tmp_path.iterdir()] == ["log.sqlite"]


def test_hot_journal(toy_db: Path, tmp_path: Path) -> None:
    """A write that broke off makes the file unreadable; a stray file of the journal's name does not."""
    shutil.copy(toy_db, tmp_path / "open.sqlite")
    with closing(sqlite3.connect(tmp_path / "open.sqlite", isolation_level=None)) as writer:
        writer.execute("PRAGMA cache_size = 1")
        writer.execute("PRAGMA cache_spill = 1")
        writer.execute("BEGIN")
        writer.execute(
            "CREATE TABLE big AS "
            "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r LIMIT 3000) SELECT i FROM r"
        )
        broken = tmp_path / "broken"
        broken.mkdir()
        for name in ("open.sqlite", "open.sqlite-journal"):
            shutil.copy(tmp_path / name, broken / name)
    before = state(broken)
    with pytest.raises(DatabaseUnreadableError, match=r"open\.sqlite-journal"):
        run_sql(broken / "open.sqlite", "SELECT 1")
    assert state(broken) == before
    shutil.copy(toy_db, broken / "fine.sqlite")
    (broken / "fine.sqlite-journal").write_text("stray")
    assert isinstance(run_sql(broken / "fine.sqlite", "SELECT 1"), Rows)
    assert (broken / "fine.sqlite-journal").read_text() == "stray"


def test_threads(toy_db: Path) -> None:
    """Many threads run statements on one file at once, each on a connection of its own."""
    found: list[object] = []

    def work() -> None:
        for number in range(50):
            rows = run_sql(toy_db, f"SELECT {number}, count(*) FROM singer")
            found.append(isinstance(rows, Rows) and rows.rows == [(number, 5)])

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 400


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_fork(toy_db: Path) -> None:
    """A forked worker opens connections of its own, and its parent's still work."""
    assert isinstance(run_sql(toy_db, "SELECT 1"), Rows)
    mine = _connection_to(toy_db)  # the child keeps it, so no other object there has its number
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=lambda: queue.put(_connection_to(toy_db)))
    child.start()
    child.join()
    assert child.exitcode == 0
    assert queue.get() != mine
    assert _connection_to(toy_db) == mine


def _connection_to(file: Path) -> int:
    """The number of the connection that a query on this file takes."""
    from sql_reward.sandbox import connections

    assert isinstance(run_sql(file, "SELECT count(*) FROM singer"), Rows)
    return id(connections._sessions.by_file[str(file)].connection)


def test_connections_are_bounded(tmp_path: Path, toy_db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many databases are judged, only so many stay open."""
    from sql_reward.sandbox import connections

    monkeypatch.setattr(connections, "MAX_OPEN", 4)
    for number in range(12):
        shutil.copy(toy_db, tmp_path / f"{number}.sqlite")
        assert isinstance(run_sql(tmp_path / f"{number}.sqlite", "SELECT 1"), Rows)
    assert len(connections._everywhere) <= 4


@pytest.mark.parametrize(
    "error",
    [
        DatabaseNotFoundError(Path("a"), "b"),
        DatabaseUnreadableError(Path("a"), "b"),
        GoldSqlError(Path("a"), "SELECT", "b"),
        StalledError(Path("a"), 1.5),
        LimitsError("a", 0, "positive", "c"),
        InputError(Path("a"), "b", "c", line=3),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_cross_processes(error: sql_reward.SqlRewardError) -> None:
    """Every error survives pickling with its message, and is of the package's one family."""
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))
    assert isinstance(error, sql_reward.SqlRewardError)


STATEMENTS = (
    ("SELECT group_concat(t, '') FROM n", Outcome.TOO_LARGE),
    ("SELECT length(replace(t, 'row', printf('%.60000c', 'x'))) FROM n", Outcome.TOO_LARGE),
    ("SELECT load_extension('x')", Outcome.FORBIDDEN),
    ("PRAGMA query_only = ON", Outcome.FORBIDDEN),
    ("SELECT count(*) FROM n AS a, n AS b, n AS c", Outcome.TIMEOUT),
    ("SELECT nothing FROM n", Outcome.SQL_ERROR),
    ("SELECT i FROM n; SELECT 1", Outcome.FORBIDDEN),
)


def test_a_statement_is_the_same_each_time(numbers_db: Path) -> None:
    """A statement that the connection has kept compiled meets the same bounds as the first time."""
    limits = Limits(deadline_s=0.2, max_cell_bytes=20_000)
    for _ in range(3):
        for sql, outcome in STATEMENTS:
            found = run_sql(numbers_db, sql, limits=limits)
            assert isinstance(found, SqlFailure), sql
            assert found.outcome is outcome, sql


def test_limits_count_for_a_kept_statement(numbers_db: Path) -> None:
    """Other limits act on a statement that was compiled under wider ones, and the other way round."""
    sql = "SELECT length(" + " || ".join(["t"] * 30) + ") FROM n WHERE t LIKE 'row%' LIMIT 1"
    for max_cell_bytes, runs in ((1_000_000, True), (200, False), (1_000_000, True), (300, False)):
        found = run_sql(numbers_db, sql, limits=Limits(max_cell_bytes=max_cell_bytes))
        assert isinstance(found, Rows) is runs, found


def test_overlap_of_a_repeated_query(toy_db: Path) -> None:
    """What a query reads is found out again although the connection has compiled it before."""
    for _ in range(3):
        verdict = judge("SELECT name FROM singer", "SELECT name, age FROM singer", toy_db, overlap=True)
        assert verdict.overlap is not None
        assert (verdict.overlap.tables, verdict.overlap.columns) == (1.0, pytest.approx(2 / 3))
