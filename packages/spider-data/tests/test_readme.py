"""What README.md shows works as shown."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

import spider_data
from spider_data.cli.main import main

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
LINES = re.findall(r"^\$ spider-data (.*?)(?:  +#.*)?$", README, re.MULTILINE)


@pytest.mark.parametrize("line", LINES)
def test_every_command_line_parses(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command exists and takes these arguments; nothing is run."""
    name, *arguments = shlex.split(line)
    command = main.commands[name]
    monkeypatch.chdir(tmp_path)
    context = command.make_context(name, arguments)
    assert isinstance(context, click.Context)


def test_the_first_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A fresh folder, ten lines, and a task with its database and a suite."""
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    question, path, variants = capsys.readouterr().out.splitlines()
    assert "->" in question
    assert Path(path).is_file()
    assert int(variants) > 1


def test_every_public_name_is_in_the_table() -> None:
    """A reader finds each function, and the table names nothing that is not there."""
    table = README[README.index("## From Python") : README.index("## Figures")]
    functions = {name for name in spider_data.__all__ if name[0].islower()}
    assert functions <= set(re.findall(r"`(\w+)\(", table))
