"""The command as a process: what it does with odd streams, Ctrl-C, narrow terminals; and what its messages advise."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from spider_data import SpiderTask, data_stats, tasks_frame, write_tasks
from spider_data.cli.main import main

SOURCE = Path(main.callback.__code__.co_filename).parents[1]  # pyright: ignore[reportOptionalMemberAccess]
COMMAND = [sys.executable, "-m", "spider_data"]


@pytest.fixture
def data(tmp_path: Path, database: Callable[..., Path]) -> Path:
    """A data folder whose names hold letters beyond ASCII, and marks that mean something in a URI."""
    folder = tmp_path / "a#b?c%20 d"
    names = ("čaj", "department_management_of_the_city", "x")
    for name in names:
        database(folder / "database" / name / f"{name}.sqlite")
    tasks = [
        SpiderTask(task_id=f"t-{i}", db_id=name, question=f"Which {i}?", query=f"SELECT name FROM item WHERE id < {i}")
        for i, name in enumerate(names * 2)
    ]
    write_tasks(folder / "train.parquet", tasks)
    return folder


def run(*arguments: str | Path, stdout: int = subprocess.PIPE, **more: str) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, **more}
    return subprocess.run([*COMMAND, *map(str, arguments)], stdout=stdout, stderr=subprocess.PIPE, env=environment)


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "gbk"])
def test_output_that_cannot_be_encoded_is_replaced(data: Path, encoding: str) -> None:
    """Tables lose the letter, JSON escapes it, nothing is a traceback."""
    assert run("check", data, PYTHONIOENCODING=encoding).returncode == 0
    done = run("suite", data, "--variants", "1", "--only", "čaj", "--json", PYTHONIOENCODING=encoding)
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False)
    assert json.loads(done.stdout)["databases"][0]["db_id"] == "čaj"


def test_an_output_that_is_full_is_one_line(data: Path) -> None:
    """A device without room stands for a full disk."""
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    handle = os.open("/dev/full", os.O_WRONLY)
    done = run("stats", data, stdout=handle)
    os.close(handle)
    assert (done.returncode, b"Traceback" in done.stderr) == (2, False)
    assert done.stderr.splitlines()[-1].startswith(b"Error: No space left on device")


def test_ctrl_c_is_130_while_a_gold_runs(tmp_path: Path, database: Callable[..., Path]) -> None:
    """SQLite turns the interrupt into an error of the query; it is no fault of the query."""
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
    (tmp_path / "q.jsonl").write_text(json.dumps({"question": "?", "query": endless}))
    shop = database(tmp_path / "shop.sqlite")
    command = ["import", "--db", str(shop), "--questions", str(tmp_path / "q.jsonl"), str(tmp_path / "out")]
    process = subprocess.Popen([*COMMAND, *command, "--deadline", "250"], stderr=subprocess.PIPE)
    assert process.stderr is not None
    assert b"running query 1 of 1" in process.stderr.readline() + process.stderr.readline() + process.stderr.readline()
    process.send_signal(signal.SIGINT)
    rest = process.stderr.read()
    assert process.wait() == 130
    assert b"Traceback" not in rest
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".*"))


def test_ctrl_c_is_130_while_modules_load(tmp_path: Path) -> None:
    """The very first import of the command sends the signal."""
    (tmp_path / "click.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    done = run("--help", PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stderr) == (130, b"")


def same_words(shown: str, text: str) -> None:
    """A terminal shows the words of a pipe, in lines that fit it; only the name of a row may be shortened."""
    assert not re.search("[\x1b─━│]", text)
    assert max(map(len, shown.splitlines())) <= 80
    pairs = list(zip(shown.split(), text.split(), strict=True))
    cut = [word for seen, word in pairs if seen != word and not (seen[-1] == "…" and word.startswith(seen[:-1]))]
    assert not cut
    assert all(seen == word for seen, word in pairs if word[0].isdigit())


@pytest.mark.parametrize("command", ["stats", "check", "suite"])
def test_eighty_columns_and_pipes(data: Path, command: str, in_terminal: Callable[..., tuple[str, int]]) -> None:
    """Piped output is plain; no count is cut, no word broken."""
    (data / "database" / "x" / "no_database.sqlite").write_text("this is text" * 100)
    options = (
        ["--variants", "1", "--force", "--only", "department_management_of_the_city"] if command == "suite" else []
    )
    done = run(command, data, *options, COLUMNS="80")
    text = done.stdout.decode()
    assert done.returncode == (1 if command == "check" else 0), done.stderr
    shown, code = in_terminal([*COMMAND, command, data, *options], quiet=True)
    assert code == done.returncode
    same_words(shown, text)
    if command == "suite":
        assert "department_management_of_the_city" in text
    if command == "stats":
        assert re.search(r"^file +tasks +databases +tables +unknown$", text, re.MULTILINE)
        assert re.search(r"^train +6 +3 +1-1 +6$", text, re.MULTILINE)


def test_notes_fit_eighty_columns(
    tmp_path: Path,
    database: Callable[..., Path],
    in_terminal: Callable[..., tuple[str, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What `import` remarks is broken between words."""
    monkeypatch.chdir(tmp_path)
    database(tmp_path / "shop.sqlite")
    rows = [{"question": f"{n}?", "query": f"SELECT {n} FROM item WHERE id > 9"} for n in range(3)]
    (tmp_path / "q.jsonl").write_text("\n".join(map(json.dumps, rows)))
    command = ["import", "--db", "shop.sqlite", "--questions", "q.jsonl", "--test-share", "0.4", "data"]
    done = run(*command)
    assert done.returncode == 0, done.stderr
    assert any(line.startswith(b"note: ") and len(line) > 80 for line in done.stdout.splitlines())
    shutil.rmtree("data")
    shown, code = in_terminal([*COMMAND, *command], quiet=True)
    assert code == 0
    same_words(shown, done.stdout.decode())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--validation-share", "1.5"], "--validation-share: expected at least 0 and below 1"),
        (["--test-share", "-1"], "--test-share: expected"),
        (["--validation-share", "0.6", "--test-share", "0.6"], "--test-share: together with"),
        (["--deadline", "0"], "--deadline: expected a number of seconds above 0"),
        (["--split-by", "database"], "--split-by: there is only one database"),
        (["--db", "{empty}"], "no database in"),
    ],
)
def test_a_message_names_the_option(
    tmp_path: Path, database: Callable[..., Path], arguments: list[str], words: str
) -> None:
    """As it is typed, not as the library calls it."""
    shop = database(tmp_path / "shop.sqlite")
    (tmp_path / "empty").mkdir()
    (tmp_path / "q.jsonl").write_text(json.dumps({"question": "?", "query": "SELECT 1"}))
    given = [argument.format(empty=tmp_path / "empty") for argument in arguments]
    command = ["import", "--db", str(shop), "--questions", str(tmp_path / "q.jsonl"), str(tmp_path / "out"), *given]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 2
    assert words in result.stderr


def test_advice_can_be_followed() -> None:
    """Every command that a message suggests is one that the command line takes."""
    texts = "\n".join(path.read_text("utf-8") for path in SOURCE.rglob("*.py"))
    suggested = set(re.findall(r"`(spider-data [^`]+)`", texts)) - {"spider-data --help"}
    assert len(suggested) > 4
    for command in suggested:
        _, name, *arguments = shlex.split(re.sub(r"\{[^}]*\}", "data", command.replace('"', "").replace("\n", " ")))
        found = main.get_command(click.Context(main), name)
        assert found is not None, command
        if arguments:
            found.make_context(name, arguments)


def test_a_read_only_look_leaves_no_file(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names with `#`, `?` and `%` are read as they are, from any folder."""
    elsewhere = data.parent / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    before = sorted(data.parent.rglob("*"))
    assert run("check", data).returncode == 0
    assert data_stats(str(data)).splits["train"].table_counts == {1: 6}
    assert sorted(data.parent.rglob("*")) == before


def test_a_pipe_among_the_databases_is_a_fault(data: Path) -> None:
    """`check` names it, and a folder that is called like a database, and goes on."""
    os.mkfifo(data / "database" / "x" / "x_v1.sqlite")
    (data / "database" / "x" / "x_v2.sqlite").mkdir()
    result = CliRunner().invoke(main, ["check", str(data), "--json"])
    faults = {finding["subject"]: finding["detail"] for finding in json.loads(result.stdout)["findings"]}
    assert "a pipe or a device" in faults["database/x/x_v1.sqlite"]
    assert "a folder" in faults["database/x/x_v2.sqlite"]


def test_frames(data: Path) -> None:
    """Tasks and figures as pandas knows them; tasks come back."""
    task = SpiderTask(task_id="a-0", db_id="a", question="NA", query="SELECT 1e5")
    frame = tasks_frame([task])
    assert frame.to_dict("records") == [task.to_row()]
    assert [SpiderTask.from_row(row) for row in frame.to_dict("records")] == [task]
    assert list(tasks_frame([]).columns) == list(frame.columns)
    figures = data_stats(data).to_frame()
    assert figures.loc["train", "tasks"] == 6
    assert figures.loc["train", "unknown"] == 6
    assert figures.loc["train", "query_words_shortest"] == 8


def test_a_database_whose_index_reads_json_is_read(tmp_path: Path, database: Callable[..., Path]) -> None:
    """SQLite calls such a file malformed when it does not trust the schema."""
    database(
        tmp_path / "database" / "x" / "x.sqlite",
        ["CREATE TABLE d (body TEXT)", "CREATE INDEX i ON d(json_extract(body, '$.n'))"],
    )
    result = CliRunner().invoke(main, ["check", str(tmp_path), "--json"])
    assert json.loads(result.stdout)["findings"][0]["kind"] == "no tasks"
    with closing(sqlite3.connect(tmp_path / "database" / "x" / "x.sqlite")) as connection:
        assert connection.execute("PRAGMA quick_check").fetchone() == ("ok",)
