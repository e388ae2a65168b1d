"""What happens to this machine, its memory and its disks is never a verdict."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sql_reward import judge

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


def test_a_full_disk(big_db: Path, tmp_path: Path) -> None:
    """A sort that finds no room on the disk is our failure, of prediction and gold alike."""
    assert printed_by("full_disk.py", big_db, SQLITE_TMPDIR=str(tmp_path)).split() == ["MachineError"] * 2
