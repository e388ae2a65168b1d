"""A Spider of six small databases, written by us, in the official layout; and the real data where it is at hand."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import signal
import sqlite3
import struct
import subprocess
import termios
import zipfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import settings

# On a busy machine an example may take long; what it shows stays true.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a background job starts; what tests start would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

PROJECT = Path(__file__).resolve().parents[3]

TRAIN = ("bakery", "ferry", "library", "orchard")
DEV = ("museum",)
TEST = ("harbour",)


def make_database(path: Path, statements: Iterable[str] = ()) -> Path:
    """A SQLite file with a table `item` of three rows, and whatever the statements add."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, price REAL)")
        connection.executemany(
            "INSERT INTO item VALUES (?, ?, ?)", [(1, "añejo", 2.5), (2, "O'Hara", 3.0), (3, "x", 1)]
        )
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    return path


def record(db_id: str, number: int) -> dict[str, object]:
    """One question as Spider's JSON has it, without the parts that nobody reads."""
    return {
        "db_id": db_id,
        "question": f"Which item of {db_id} has id {number}?",
        "query": f"SELECT name FROM item WHERE id = {number}",
        "question_toks": ["Which"],
    }


@pytest.fixture
def database() -> Callable[..., Path]:
    """Makes a SQLite file: see `make_database`."""
    return make_database


@pytest.fixture
def spider(tmp_path: Path) -> Path:
    """An official-looking folder in the newer layout."""
    source = tmp_path / "source"
    for db_id in (*TRAIN, *DEV):
        make_database(source / "database" / db_id / f"{db_id}.sqlite")
    for db_id in (*TRAIN, *DEV, *TEST):
        make_database(source / "test_database" / db_id / f"{db_id}.sqlite")
    for name, ids, count in (
        ("train_spider", TRAIN[:3], 5),
        ("train_others", TRAIN[3:], 5),
        ("dev", DEV, 4),
        ("test", TEST, 6),
    ):
        rows = [record(db_id, number) for db_id in ids for number in range(count)]
        (source / f"{name}.json").write_text(json.dumps(rows), encoding="utf-8")
    (source / "tables.json").write_text("[]", encoding="utf-8")
    return source


@pytest.fixture
def zipped(spider: Path, tmp_path: Path) -> Path:
    """The same as a zip with a wrapping folder, a dump that nobody reads, and macOS's litter."""
    archive = tmp_path / "spider_data.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("__MACOSX/spider_data/._train_spider.json", b"\0")
        packed.writestr("spider_data/database/bakery/schema.sql", "-- " + "x" * 1000)
        for file in sorted(file for file in spider.rglob("*") if file.is_file()):
            packed.write(file, Path("spider_data") / file.relative_to(spider))
    return archive


@pytest.fixture
def real() -> Path:
    """The folder of the real Spider files; for tests marked `data`."""
    root = Path(os.environ.get("SQL_TEST_DATA") or PROJECT.parent / "shared" / "data") / "spider"
    if not root.is_dir():
        pytest.skip(f"the Spider test data is not at {root}; set SQL_TEST_DATA to its folder")
    return root


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its bytes."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


@pytest.fixture
def contents() -> Callable[[Path], dict[str, bytes]]:
    """Reads a folder whole: see `files_of`."""
    return files_of


CONTROLS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def run_in_terminal(command: Sequence[object], *, columns: int = 80, quiet: bool = False) -> tuple[str, int]:
    """What a command shows on a terminal of so many columns, without colours and moves, and its exit code.

    With `quiet`, without what it says on standard error.
    """
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    process = subprocess.Popen(
        [str(word) for word in command],
        stdin=follower,
        stdout=follower,
        stderr=subprocess.DEVNULL if quiet else follower,
        env={**environment, "TERM": "xterm-256color"},
    )
    os.close(follower)
    shown = b""
    with contextlib.suppress(OSError):  # Linux says so when the last writer is gone
        while chunk := os.read(leader, 65536):
            shown += chunk
    os.close(leader)
    return CONTROLS.sub("", shown.decode(errors="replace")).replace("\r\n", "\n"), process.wait()


@pytest.fixture
def in_terminal() -> Callable[..., tuple[str, int]]:
    """Run a command as on a terminal."""
    return run_in_terminal
