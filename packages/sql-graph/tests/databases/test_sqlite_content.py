"""What SQLite files can hold and where they can lie, and what a statement may cost to compile."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sql_graph import DatabaseLimits, SqlDatabase
from sql_graph.errors import DatabaseNotFoundError, DatabaseUnavailableError
from sql_graph.ports import SchemaStyle


def make(path: Path, script: str) -> Path:
    """A SQLite file made by a script."""
    connection = sqlite3.connect(path)
    connection.executescript(script)
    connection.close()
    return path


VIRTUAL = """
CREATE TABLE plain (x int);
CREATE VIRTUAL TABLE docs USING fts5(title, body);
INSERT INTO docs VALUES ('hello world', 'first'), ('bye', 'hello again');
CREATE VIRTUAL TABLE old USING fts4(t);
INSERT INTO old VALUES ('hello there');
CREATE VIRTUAL TABLE "older one" USING fts3(t);
CREATE VIRTUAL TABLE box USING rtree(id, low, high);
INSERT INTO box VALUES (1, 0, 5);
CREATE TABLE note_content (id INTEGER PRIMARY KEY, text TEXT);
CREATE VIRTUAL TABLE note USING fts5(text, content="note_content", content_rowid='id');
INSERT INTO note_content VALUES (1, 'kept apart');
INSERT INTO note (note) VALUES ('rebuild');
CREATE TABLE docs_of_mine (a);
ANALYZE;
"""


def test_shadow_tables_are_no_part_of_the_schema(tmp_path: Path) -> None:
    """A model sees virtual tables and users' own tables, one that is an index's content among them."""
    with SqlDatabase(make(tmp_path / "v.sqlite", VIRTUAL)) as database:
        names = {table.name for table in database.schema.tables}
        assert names == {"plain", "docs", "old", "older one", "box", "note_content", "note", "docs_of_mine"}
        text = database.schema_text("q", budget_tokens=4000, style=SchemaStyle.FULL)
    assert "segdir" not in text
    assert "sqlite_stat" not in text


@pytest.mark.parametrize(
    ("sql", "first"),
    [
        ("SELECT body FROM docs WHERE docs MATCH 'hello' ORDER BY rank, rowid", "first"),
        ("SELECT snippet(docs, 0, '[', ']', '…', 5) FROM docs('world')", "hello [world]"),
        ("SELECT count(*) FROM docs", "2"),
        ("SELECT t FROM old WHERE old MATCH 'there'", "hello there"),
        ("SELECT count(*) FROM \"older one\" WHERE t MATCH 'x'", "0"),
        ("SELECT id FROM box WHERE low >= 0 AND high < 9", "1"),
        ("SELECT text FROM note WHERE note MATCH 'apart'", "kept apart"),
        ("SELECT value FROM json_each('[7]')", "7"),
    ],
)
def test_virtual_tables_are_readable(tmp_path: Path, sql: str, first: str) -> None:
    """What only reads a virtual table runs; its first value is as expected."""
    with SqlDatabase(make(tmp_path / "v.sqlite", VIRTUAL)) as database:
        observation = database.run(sql)
        assert observation.ran, observation.text
        assert observation.text.splitlines()[1] == first


def test_what_spatialite_leaves_is_no_part_of_the_schema(tmp_path: Path) -> None:
    """In a file that SpatiaLite made, only users' tables are shown; elsewhere such names mean nothing."""
    leftovers = """
        CREATE TABLE spatial_ref_sys (srid INTEGER); CREATE TABLE geometry_columns (f_table_name TEXT);
        CREATE TABLE spatialite_history (event TEXT); CREATE VIEW geom_cols_ref_sys AS SELECT 1 AS a;
        CREATE VIRTUAL TABLE idx_town_geom USING rtree(pkid, xmin, xmax);
        CREATE TABLE views_geometry_columns_auth (a); CREATE TABLE town (name TEXT, geom BLOB);
    """
    with SqlDatabase(make(tmp_path / "s.sqlite", leftovers)) as database:
        assert [table.name for table in database.schema.tables] == ["town"]
    with SqlDatabase(make(tmp_path / "p.sqlite", "CREATE TABLE spatial_ref_sys (a); CREATE TABLE idx_a (b);")) as plain:
        assert [table.name for table in plain.schema.tables] == ["idx_a", "spatial_ref_sys"]


def test_what_is_no_regular_file_is_refused(tmp_path: Path, singers: Path) -> None:
    """A pipe would be waited for and a device read for ever; each is refused by its kind."""
    os.mkfifo(tmp_path / "pipe.sqlite")
    os.mkfifo(tmp_path / "pipe.duckdb")
    for path, kind in ((tmp_path / "pipe.sqlite", "pipe"), (tmp_path / "pipe.duckdb", "pipe"), ("/dev/zero", "device")):
        with pytest.raises(DatabaseUnavailableError, match=kind):
            SqlDatabase(path).run("SELECT 1")
    with pytest.raises(DatabaseNotFoundError):
        SqlDatabase(f"{singers}\x00").run("SELECT 1")


class Place:
    """Something that stands for a path."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __fspath__(self) -> str:
        return str(self._path)


def test_whatever_stands_for_a_path_is_one(singers: Path) -> None:
    """Text, `Path` and any other `os.PathLike` name the same database."""
    for place in (str(singers), singers, Place(singers), f"sqlite:///{singers}", f"sqlite:///file:{singers}?mode=ro"):
        with SqlDatabase(place) as database:
            assert database.run("SELECT name FROM singer LIMIT 1").text == "name\nAnn\n1 row"


def test_a_log_beside_a_copied_file_is_read_and_left_alone(singers: Path, tmp_path: Path) -> None:
    """A copy with its -wal, which no writer holds: its rows are seen, in it and in the schema, and no file appears."""
    make(singers, "PRAGMA journal_mode = WAL")
    writer = sqlite3.connect(singers)
    writer.execute("CREATE TABLE late (a)")
    writer.execute("INSERT INTO late VALUES (1)")
    writer.commit()
    copied = tmp_path / "copied"
    copied.mkdir()
    for suffix in ("", "-wal"):
        shutil.copy(f"{singers}{suffix}", copied / f"{singers.name}{suffix}")
    writer.close()
    before = {path.name: path.read_bytes() for path in copied.iterdir()}
    with SqlDatabase(copied / singers.name) as database:
        assert "late" in database.schema_text("q", budget_tokens=1000, style=SchemaStyle.COMPACT)
        assert database.run("SELECT a FROM late").text == "a\n1\n1 row"
    assert {path.name: path.read_bytes() for path in copied.iterdir()} == before


def test_a_journal_beside_a_copied_file_is_left_alone(singers: Path, tmp_path: Path) -> None:
    """A copy in the middle of a write cannot be read without undoing it: that is said, and nothing is touched."""
    writer = sqlite3.connect(singers, isolation_level=None)
    writer.executescript("PRAGMA cache_size = 1; BEGIN; UPDATE n SET i = i + 1; DELETE FROM singer;")
    copied = tmp_path / "copied"
    copied.mkdir()
    for suffix in ("", "-journal"):
        shutil.copy(f"{singers}{suffix}", copied / f"{singers.name}{suffix}")
    writer.close()
    before = {path.name: path.read_bytes() for path in copied.iterdir()}
    with SqlDatabase(copied / singers.name) as database, pytest.raises(DatabaseUnavailableError):
        database.run("SELECT count(*) FROM singer")
    assert {path.name: path.read_bytes() for path in copied.iterdir()} == before


def test_a_rewrite_within_one_tick_is_noticed(tmp_path: Path) -> None:
    """Two contents of one size, written one right after the other with the same times, are two databases."""
    path = make(tmp_path / "a.sqlite", "CREATE TABLE first (a);")
    other = make(tmp_path / "b.sqlite", "CREATE TABLE other (a);").read_bytes()
    times = path.stat()
    with SqlDatabase(path) as database:
        for _ in range(3):
            assert database.run("SELECT count(*) FROM first").ran
            assert [table.name for table in database.schema.tables] == ["first"]
            content = path.read_bytes()
            path.write_bytes(other)
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
            assert database.run("SELECT count(*) FROM other").ran
            assert [table.name for table in database.schema.tables] == ["other"]
            path.write_bytes(content)
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.parametrize("failing", ["FULL", "IOERR_WRITE", "CANTOPEN", "NOMEM", "IOERR_SHORT_READ"])
def test_what_sqlite_says_about_this_machine_raises(
    singers: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """A full disk or too little memory is never an observation, so no model is blamed for it."""
    real = sqlite3.connect

    class Failing(sqlite3.Connection):
        def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
            if "EXPLAIN" not in sql:
                return super().execute(sql, *parameters)
            if failing == "NOMEM":
                raise MemoryError
            error = sqlite3.OperationalError("it failed")
            error.sqlite_errorname = f"SQLITE_{failing}"
            raise error

    monkeypatch.setattr(sqlite3, "connect", lambda *args, **options: real(*args, factory=Failing, **options))
    with pytest.raises(DatabaseUnavailableError, match=r"music\.sqlite"):
        SqlDatabase(singers).run("SELECT name FROM singer ORDER BY age")


def test_a_full_folder_for_temporary_files_raises(tmp_path: Path) -> None:
    """A sort that finds no room on the disk is this machine's failure. Needs the right to mount a file system."""
    program = Path(__file__).parent.parent / "programs" / "sort_on_a_full_disk.py"
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no right to mount a file system")
    try:
        environment = {**os.environ, "SQLITE_TMPDIR": str(folder)}
        done = subprocess.run(
            [sys.executable, str(program), str(tmp_path / "s.sqlite")],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        subprocess.run(["umount", str(folder)], check=True)
    assert done.stdout.startswith("DatabaseUnavailableError"), done.stdout + done.stderr


CHAIN = "WITH a0 AS (SELECT id AS x FROM singer)" + "".join(
    f", a{i} AS (SELECT x + x AS x FROM a{i - 1})" for i in range(1, 30)
)


@pytest.mark.parametrize(
    ("sql", "status"),
    [
        (f"{CHAIN} SELECT x FROM a25", "timeout"),
        (f"{CHAIN} SELECT {', '.join(f'sum(x + {i})' for i in range(1000))} FROM a9", "timeout"),
        (f"{CHAIN} SELECT CASE WHEN x THEN max(x, x, x) END FROM a24", "timeout"),
        ("SELECT x FROM wide", "timeout"),
        ("SELECT c25 FROM computed", "timeout"),
        (f"WITH a AS (SELECT hex(zeroblob(499999)) x) SELECT {', '.join(['x'] * 400)} FROM a", "too_large"),
        (f"SELECT {', '.join(['hex(zeroblob(400000))'] * 300)}", "too_large"),
        (f"SELECT {', '.join(['group_concat(hex(zeroblob(400000)))'] * 300)} FROM singer", "too_large"),
        (f"{CHAIN} SELECT x FROM a3", "rows"),
        (f"SELECT {', '.join(f'{i} AS c{i}' for i in range(1500))}", "rows"),
    ],
)
def test_compiling_is_bounded(singers: Path, limits: DatabaseLimits, sql: str, status: str) -> None:
    """A short text that means a long program, or values without end, is stopped as any query is."""
    views = "CREATE VIEW v0 AS SELECT id AS x FROM singer;" + "".join(
        f"CREATE VIEW v{i} AS SELECT x + x AS x FROM v{i - 1};" for i in range(1, 25)
    )
    columns = "".join(f", c{i} int AS (c{i - 1} + c{i - 1})" for i in range(1, 26))
    make(singers, f"{views} CREATE VIEW wide AS SELECT x FROM v24; CREATE TABLE computed (c0 int{columns});")
    with SqlDatabase(singers, limits=limits) as database:
        assert database.run(sql).status == status


def test_compiling_takes_bounded_memory(singers: Path) -> None:
    """In a process whose memory is limited, statements that would take hundreds of megabytes are stopped before."""
    program = Path(__file__).parent.parent / "programs" / "run_in_little_memory.py"
    done = subprocess.run(
        [sys.executable, str(program), str(singers)],
        input=json.dumps([f"{CHAIN} SELECT x FROM a22", "SELECT count(*) FROM singer"]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() in (["timeout", "rows"], ["too_large", "rows"]), done.stderr
