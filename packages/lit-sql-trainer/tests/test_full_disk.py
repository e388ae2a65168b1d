"""A really full disk: eval and report end with one line and their exit code, and every line written is whole."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from lit_sql_trainer.cli import main
from lit_sql_trainer.runs import append_line, create_run
from lit_sql_trainer.testing import ScriptedEndpoint

PAGE = 4096
"""Bytes of the smallest file on such a disk."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """A disk of so many pages, in memory; called again, it changes its size."""
    place = tmp_path / "disk"
    place.mkdir()

    def sized(pages: int) -> Path:
        size = f"size={pages * PAGE}"
        mounted = os.path.ismount(place)
        how = ["-o", f"remount,{size}"] if mounted else ["-t", "tmpfs", "-o", size, "none"]
        done = subprocess.run(["mount", *how, str(place)], capture_output=True, text=True, check=False)
        if done.returncode and not mounted:
            pytest.skip(f"this user may not mount a disk: {done.stderr.strip()}")
        assert done.returncode == 0, done.stderr
        return place

    yield sized
    if os.path.ismount(place):
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture(autouse=True)
def mount_exists() -> None:
    """The tests need the program `mount`."""
    if os.name != "posix" or not any((Path(folder) / "mount").exists() for folder in os.environ["PATH"].split(":")):
        pytest.skip("there is no `mount`")


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def whole_lines(file: Path) -> int:
    """How many records a file holds, each of them a whole line."""
    text = file.read_text(encoding="utf-8")
    assert text == "" or text.endswith("\n")
    return len([json.loads(line) for line in text.splitlines()])


def refused(code: int, expected: int, errors: str) -> str:
    """The one line of the error."""
    assert code == expected, errors
    assert "Traceback" not in errors
    (line,) = [line for line in errors.splitlines() if line.startswith("Error: ")]
    assert "No space left on device" in line
    return line


@pytest.mark.parametrize("pages", [4, 5], ids=["while it asks", "while it ends"])
def test_eval(toy_data: Path, disk: Callable[[int], Path], pages: int) -> None:
    """It ends where the disk ends; the same command with more room asks only the rest."""
    out = disk(pages) / "e"
    with ScriptedEndpoint(lambda body: "```sql\nSELECT name FROM item\n```", ids=False) as endpoint:
        words = ["--endpoint", endpoint.url, "--model", "scripted", "--profile", "tiny", "--split", "train"]
        command = ["eval", *words, "--data", toy_data, "--out", out, "--workers", 1]
        first = run(*command)
        line = refused(first.exit_code, 2, first.stderr)
        assert f"cannot write to '{out / 'verdicts.jsonl'}'" in line
        kept = whole_lines(out / "verdicts.jsonl")
        assert 0 < kept <= 24
        disk(100)
        asked = len(endpoint.requests)
        done = run(*command)
        assert done.exit_code == 0, done.output
        assert whole_lines(out / "verdicts.jsonl") == 24
        assert (len(endpoint.requests) == asked) == (kept == 24)


def test_report(disk: Callable[[int], Path]) -> None:
    """A report that does not fit leaves no half a page, and an earlier one stays."""
    place = disk(6)
    made = create_run(place, profile="tiny", config={}, name="r")
    append_line(made.metrics_file, {"event": "validation", "step": 0, "reward": 0.5, "standard_error": 0.1})
    made.report_file.write_text("earlier")
    done = run("report", made.path)
    line = refused(done.exit_code, 2, done.stderr)
    assert str(made.report_file) in line
    assert made.report_file.read_text() == "earlier"
    assert {file.name for file in made.path.iterdir()} == {
        *("checkpoints", "config.json", "environment.json", "metrics.jsonl", "report.html")
    }
