"""The commands from their first moment: signals, streams, full disks, and files whose names are no URI."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lit_sql_trainer.dryrun.run import _tables  # pyright: ignore[reportPrivateUsage]

LIT_SQL = Path(sys.executable).with_name("lit-sql")
SLOW_IMPORT = Path(__file__).parent / "programs" / "import_slowly.py"


def lit_sql(*options: object, **variables: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [LIT_SQL, *map(str, options)],
        capture_output=True,
        timeout=120,
        env={**os.environ, **variables},
    )


@pytest.mark.parametrize("encoding", ["cp1252", "gbk", "ascii", "latin-1"])
def test_what_an_encoding_does_not_have_is_replaced(encoding: str) -> None:
    """A list with typographic characters goes to any stream, without a traceback."""
    done = lit_sql("settings", "qwen", PYTHONIOENCODING=encoding)
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False), done.stderr
    assert lit_sql("--help", PYTHONIOENCODING=encoding).returncode == 0


def all_signals() -> None:
    """Start as in a terminal's foreground: tests may run under `nohup` or in the background."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("module", ["click", "lit_sql_trainer.commands.profiles", "lit_sql_trainer.profile.named"])
def test_a_signal_during_the_imports_is_its_exit_code(module: str, number: int) -> None:
    """130 for Ctrl-C, whatever is being imported, and nothing is printed."""
    process = subprocess.Popen(
        [sys.executable, SLOW_IMPORT, module, "60"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=all_signals,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "importing\n"
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (128 + number, "")


def test_an_ignored_signal_stays_ignored() -> None:
    """As `nohup` and the shell of a background job have it: the command goes on to its end."""
    process = subprocess.Popen(
        [sys.executable, SLOW_IMPORT, "lit_sql_trainer.profile.named", "3"],
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: [signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGHUP)],
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "importing\n"
    for number in (signal.SIGINT, signal.SIGHUP):
        process.send_signal(number)
        time.sleep(0.1)
    assert "tiny" in process.communicate(timeout=60)[0]
    assert process.returncode == 0


def test_a_full_output_is_one_line() -> None:
    """What cannot be written is said once on the error stream, with exit code 1."""
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([LIT_SQL, "profiles"], stdout=full, stderr=subprocess.PIPE, timeout=120, text=True)
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["a#b", "a?mode=rwc", "100%25", "ä ö", "file:x"])
def test_reading_a_database_leaves_no_file_behind(own_data: Path, tmp_path: Path, name: str) -> None:
    """A path is no URI: what has a meaning in one is quoted, and nothing is opened or made elsewhere."""
    folder = tmp_path / name
    folder.mkdir()
    shutil.copy(own_data / "database" / "shop" / "shop.sqlite", folder / "shop.sqlite")
    before = sorted(tmp_path.rglob("*"))
    assert _tables(folder / "shop.sqlite") == ["item"]
    with pytest.raises(sqlite3.OperationalError):
        _tables(folder / "missing.sqlite")
    assert sorted(tmp_path.rglob("*")) == before
