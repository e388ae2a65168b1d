"""Which files are databases, and that reading one changes nothing and is never stale."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from sql_reward import DatabaseUnreadableError, GoldCache, Rows, SqlRewardError, evaluate_query, judge, run_sql
from sql_reward.exact import read_schema
from sql_reward.scoring import Pair, ScoreOptions, score_pairs

QUERY = "SELECT name FROM singer"


class Place:
    """Stands for a path, and is none."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __fspath__(self) -> str:
        return str(self.path)


@pytest.mark.parametrize("kind", [str, Path, Place])
def test_any_kind_of_path(kind: Callable[[Path], str | os.PathLike[str]], toy_db: Path) -> None:
    """A file, a folder and a list are taken as text, as a path, and as what stands for a path."""
    place, folder = kind(toy_db), kind(toy_db.parent)
    assert isinstance(run_sql(place, QUERY), Rows)
    assert "singer" in read_schema(place).tables
    options = ScoreOptions(db_root=kind(toy_db.parent.parent), exact=True)
    pair = Pair(id=1, db_id=toy_db.parent.name, gold=QUERY, predicted=QUERY)
    [scored] = score_pairs([pair], options, jobs=1)
    assert scored.verdict is not None and scored.verdict.matched
    assert evaluate_query(QUERY, QUERY, place) == 1.0
    for databases, total in ((place, 1), (folder, 1), ([place, place], 2), ((place,), 1)):
        verdict = judge(QUERY, QUERY, databases)
        assert (verdict.matched, verdict.databases_total) == (True, total)


@pytest.mark.timeout(60)
def test_what_is_no_file(toy_db: Path, tmp_path: Path) -> None:
    """A pipe and a device are refused at once; waiting for a writer would take for ever."""
    os.mkfifo(tmp_path / "pipe.sqlite")
    for place, word in ((tmp_path / "pipe.sqlite", "named pipe"), (Path("/dev/zero"), "device"), (tmp_path, "folder")):
        with pytest.raises(DatabaseUnreadableError, match=word):
            run_sql(place, QUERY)
        with pytest.raises(SqlRewardError):
            judge(QUERY, QUERY, place)
        with pytest.raises(SqlRewardError):
            judge(QUERY, QUERY, [toy_db, place])
        with pytest.raises(SqlRewardError):
            read_schema(place)


def test_the_order_of_a_suite(toy_db: Path, tmp_path: Path) -> None:
    """The main file comes first, then the variants by the numbers in their names."""
    from sql_reward.judging import suite

    folder = tmp_path / "pets"
    folder.mkdir()
    names = ["pets.sqlite", "a_long_name.sqlite", "pets_2b.sqlite", "pets_v2.sqlite", "pets_v10.sqlite", "z.sqlite"]
    for name in names:
        shutil.copy(toy_db, folder / name)
    assert [Path(file).name for file in suite(folder)] == names


def test_a_rewrite_within_one_tick(tmp_path: Path) -> None:
    """A file that is written again at once, of the same size and times, is another database, in a cache as well."""
    file, cache = tmp_path / "again.sqlite", GoldCache()
    contents: list[bytes] = []
    for number in (1, 2):
        source = tmp_path / f"{number}"
        with closing(sqlite3.connect(source)) as connection:
            connection.executescript(f"CREATE TABLE t (i); INSERT INTO t VALUES ({number});")
        contents.append(source.read_bytes())
    for turn in range(40):
        number = turn % 2 + 1
        file.write_bytes(contents[number - 1])
        os.utime(file, ns=(10**18, 10**18))
        assert judge("SELECT i FROM t", f"SELECT {number}", file, cache=cache).matched
        assert judge(f"SELECT {number}", "SELECT i FROM t", file, cache=cache).matched


LOG, HOT = bytes.fromhex("377f0682"), bytes.fromhex("d9d505f920a163d7")


@pytest.mark.parametrize("in_log_mode", [False, True])
@pytest.mark.parametrize(
    ("suffix", "content", "readable"),
    [
        ("-wal", b"", True),
        ("-wal", LOG + bytes(28), True),
        ("-wal", b"stray" * 1000, True),
        ("-wal", LOG + bytes(5000), False),
        ("-shm", bytes(32768), True),
        ("-journal", b"", True),
        ("-journal", b"stray" * 1000, True),
    ],
)
def test_files_beside_a_copy(
    suffix: str, content: bytes, readable: bool, in_log_mode: bool, toy_db: Path, tmp_path: Path
) -> None:
    """What lies beside a copied file stays as it is, and nothing new appears; a log with changes is an error."""
    file = tmp_path / "copy.sqlite"
    shutil.copy(toy_db, file)
    if in_log_mode:
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
    (tmp_path / f"copy.sqlite{suffix}").write_bytes(content)
    before = {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()}
    if readable:
        assert isinstance(run_sql(file, QUERY), Rows)
    else:
        with pytest.raises(DatabaseUnreadableError, match="-wal"):
            run_sql(file, QUERY)
    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == before
