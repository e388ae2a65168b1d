"""The installed command as a process: streams that are not UTF-8, and Ctrl-C before anything is loaded."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

RUN = [str(Path(sys.executable).with_name("sql-graph"))]


@pytest.mark.parametrize("encoding", ["cp1252", "gbk", "ascii"])
@pytest.mark.parametrize("extra", [(), ("--json",)])
def test_a_stream_that_is_not_utf8(
    tmp_path: Path, reply_with: Callable[..., Any], encoding: str, extra: tuple[str, ...]
) -> None:
    """What a stream cannot write is replaced, and the command ends as it would."""
    file = tmp_path / "a.sqlite"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE t(x)")
    endpoint = reply_with("```sql\nSELECT '张三 → Zoë' AS x\n```")
    options = ["--db", str(file), "--model", "m", "--base-url", endpoint.url, "--check", "rules", *extra]
    done = subprocess.run(
        [*RUN, "ask", *options, "q"], capture_output=True, check=False, env={**os.environ, "PYTHONIOENCODING": encoding}
    )
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False)
    assert b"SELECT" in done.stdout


def test_an_interruption_while_importing_is_130() -> None:
    """Ctrl-C in the middle of an import ends the command with one line and exit code 130."""
    program = Path(__file__).parents[1] / "programs" / "interrupt_an_import.py"
    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "sql-graph: interrupted\n")
