"""What happens to this machine, its memory and its disks is never a verdict."""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sql_reward import Limits, MachineError, Rows, judge, run_sql
from sql_reward.sandbox import connections, execute
from sql_reward.sandbox.identity import identify
from sql_reward.sandbox.statement import Statement

PROGRAMS = Path(__file__).with_name("programs")
ROWS = """
CREATE TABLE t (i INTEGER PRIMARY KEY, s TEXT);
WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r LIMIT 14000)
INSERT INTO t SELECT i, (i * 7919 % 100003) || hex(zeroblob(100)) FROM r;
"""


@pytest.fixture(scope="module")
def big_db(tmp_path_factory: pytest.TempPathFactory, database_of: Callable[[Path, str], Path]) -> Path:
    """A file of 3 MB."""
    return database_of(tmp_path_factory.mktemp("big") / "big.sqlite", ROWS)


def printed_by(program: str, *arguments: object, **environment: str) -> str:
    """What a program beside this test prints."""
    command = [sys.executable, PROGRAMS / program, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_many_databases_in_one_process(big_db: Path, tmp_path: Path) -> None:
    """The caches of two hundred databases, judged in turn, leave room for the next one."""
    files = [tmp_path / f"{number}.sqlite" for number in range(200)]
    for file in files:
        os.link(big_db, file)
    query = "SELECT count(*), sum(length(s)), max(s) FROM t"
    for file in files:
        assert judge(query, query, file).matched


def test_memory_of_others(big_db: Path) -> None:
    """A greedy thread changes no verdict of the others, and running out of memory is not remembered."""
    assert json.loads(printed_by("little_memory.py", big_db)) == {
        "outcomes": ["match"],
        "judged": 18,
        "golds": 2,
        "alone": "too_large",
        "out_of_memory": True,
        "failures_kept": 0,
    }


@pytest.mark.timeout(60)
def test_no_memory_to_open(big_db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that cannot be opened for want of memory is opened again alone, and then it is the machine's fault."""
    failures = iter([True, False, True, True])
    connect = connections._connect

    def scarce(path: Path) -> sqlite3.Connection:
        if next(failures, False):
            raise MemoryError
        return connect(path)

    for name in ("first.sqlite", "second.sqlite"):
        os.link(big_db, tmp_path / name)
    monkeypatch.setattr(connections, "_connect", scarce)
    assert isinstance(run_sql(tmp_path / "first.sqlite", "SELECT 1"), Rows)
    with pytest.raises(MachineError, match=r"second\.sqlite.*memory"):
        run_sql(tmp_path / "second.sqlite", "SELECT 1")
    assert isinstance(run_sql(tmp_path / "second.sqlite", "SELECT 1"), Rows)


@pytest.mark.timeout(60)
def test_no_memory_to_try_again(big_db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A statement that ran out of memory, and whose file cannot be opened again, ends with an error."""

    def none(path: Path) -> sqlite3.Connection:
        raise MemoryError

    def used_up(*_: object, **__: object) -> Rows:
        monkeypatch.setattr(connections, "_connect", none)
        raise MemoryError

    monkeypatch.setattr(execute, "_fetch", used_up)
    with pytest.raises(MachineError):
        run_sql(big_db, "SELECT 1")
    monkeypatch.undo()
    assert isinstance(run_sql(big_db, "SELECT 1"), Rows)


def test_a_session_closed_for_its_memory_is_opened_again(big_db: Path) -> None:
    """Between choosing a connection and using it, another thread may have closed it."""
    session = connections.session_for(str(big_db), identify(big_db))
    connections.close_all()
    found = execute.run_statement(session, Statement("SELECT 1", max_bytes=100), Limits())
    assert isinstance(found, execute.Fetched)


def test_a_full_disk(big_db: Path, tmp_path: Path) -> None:
    """A sort that finds no room on the disk is our failure, of prediction and gold alike."""
    assert printed_by("full_disk.py", big_db, SQLITE_TMPDIR=str(tmp_path)).split() == ["MachineError"] * 2
