"""Whatever ends a command, its files are valid and it says how to go on. Real processes, real signals."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from lit_sql_trainer import evaluate
from lit_sql_trainer.cli import main
from lit_sql_trainer.errors import RunError
from lit_sql_trainer.evaluation.records import EvaluationFolder
from lit_sql_trainer.evaluation.run import load_evaluation
from lit_sql_trainer.testing import ScriptedEndpoint

from .conftest import lines_of, right_answer, target_at

LIT_SQL = Path(sys.executable).with_name("lit-sql")
QUESTIONS = 12
ANSWERED = 3
"""Requests that are answered before the gate is reached."""


class Gate:
    """An endpoint that answers a few requests, and the rest when the gate is opened."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.begun = 0
        self.endpoint = ScriptedEndpoint(self._reply, ids=False)

    def _reply(self, body: dict[str, Any]) -> str:
        self.begun += 1
        if self.begun > ANSWERED:
            self.opened.wait(timeout=120)
        return right_answer(body)


@pytest.fixture
def gate() -> Iterator[Gate]:
    """Closed at first."""
    gate = Gate()
    with gate.endpoint:
        yield gate
        gate.opened.set()


def start(*words: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [LIT_SQL, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def asking(gate: Gate) -> list[object]:
    """The options that name the scripted model."""
    return ["--endpoint", gate.endpoint.url, "--model", "scripted", "--profile", "tiny", "--workers", 2]


def eval_words(gate: Gate, data: Path, out: Path) -> list[object]:
    return ["eval", *asking(gate), "--data", data, "--split", "validation", "--out", out]


def wait_for(count: int, file: Path, gate: Gate, process: subprocess.Popen[str]) -> None:
    """Until so many lines are written and both workers stand at the gate."""
    deadline = time.monotonic() + 200
    while not (file.is_file() and len(lines_of(file)) >= count and len(gate.endpoint.requests) >= count + 2):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "the command did not get that far"
        time.sleep(0.05)


def interrupt(process: subprocess.Popen[str], gate: Gate) -> str:
    """Ctrl-C, then the endpoint answers again; the output of the process to its end."""
    assert process.stdout is not None
    process.send_signal(signal.SIGINT)
    said: list[str] = []
    for line in process.stdout:
        said.append(line)
        if "press Ctrl-C again to end at once" in line:
            gate.opened.set()
    process.wait(timeout=60)
    return "".join(said)


@pytest.mark.slow
def test_ctrl_c_finishes_what_is_under_way(gate: Gate, toy_data: Path, tmp_path: Path) -> None:
    """It says how to go on; going on asks only what is missing and gives the whole."""
    out = tmp_path / "e"
    process = start(*eval_words(gate, toy_data, out))
    wait_for(ANSWERED, out / "verdicts.jsonl", gate, process)
    output = interrupt(process, gate)
    assert process.returncode == 130, output
    assert len(lines_of(out / "verdicts.jsonl")) == ANSWERED + 2
    assert not (out / "summary.json").exists()
    assert f"stopped with {ANSWERED + 2} answers in {out}; resume with\n    lit-sql eval --endpoint" in output
    gone_on(gate, toy_data, out, already=ANSWERED + 2)


@pytest.mark.slow
def test_a_kill_leaves_valid_files(gate: Gate, toy_data: Path, tmp_path: Path) -> None:
    """Every line is whole, and the same evaluation goes on."""
    out = tmp_path / "e"
    process = start(*eval_words(gate, toy_data, out))
    wait_for(ANSWERED, out / "verdicts.jsonl", gate, process)
    process.kill()
    process.communicate(timeout=60)
    gate.opened.set()
    assert len([json.loads(line) for line in lines_of(out / "verdicts.jsonl")]) == ANSWERED
    gone_on(gate, toy_data, out, already=ANSWERED)


def gone_on(gate: Gate, data: Path, out: Path, *, already: int) -> None:
    """Go on in this process and look at the whole."""
    asked = len(gate.endpoint.requests)
    done = evaluate(target_at(gate.endpoint), out=out, data=data, split="validation")
    assert len(gate.endpoint.requests) == asked + QUESTIONS - already
    assert done.summary is not None
    assert done.summary["lines"][1]["suite"]["right"] == QUESTIONS
    ids = [record.task_id for record in load_evaluation(out).records]
    assert ids == [f"validation-{number:05d}" for number in range(QUESTIONS)]


@pytest.mark.slow
def test_a_second_ctrl_c_ends_at_once(gate: Gate, toy_data: Path, tmp_path: Path) -> None:
    """Even when the endpoint never answers; the line that says how to go on is still printed."""
    out = tmp_path / "e"
    process = start(*eval_words(gate, toy_data, out))
    wait_for(ANSWERED, out / "verdicts.jsonl", gate, process)
    assert process.stdout is not None
    process.send_signal(signal.SIGINT)
    while "again to end at once" not in process.stdout.readline():
        pass
    process.send_signal(signal.SIGINT)
    output = process.communicate(timeout=60)[0]
    assert not gate.opened.is_set()
    assert process.returncode == 130, output
    assert "the same command resumes:\n    lit-sql eval" in output
    assert "Traceback" not in output
    assert len(lines_of(out / "verdicts.jsonl")) == ANSWERED


@pytest.mark.slow
def test_curation_goes_on_after_ctrl_c(gate: Gate, toy_data: Path, tmp_path: Path) -> None:
    """No data folder, half or whole, before the end; the model's answers are kept and not asked for again."""
    out, answers = tmp_path / "curated", tmp_path / "curated-answers" / "verdicts.jsonl"
    words = ["curate", toy_data, out, *asking(gate), "-k", 2, "--split", "validation"]
    process = start(*words)
    wait_for(ANSWERED, answers, gate, process)
    output = interrupt(process, gate)
    assert process.returncode == 130, output
    assert "resume with\n    lit-sql curate" in output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curated-answers"]
    asked = len(gate.endpoint.requests)
    result = CliRunner().invoke(main, [str(word) for word in [*words, "--keep-share", 0.5]])
    assert result.exit_code == 0, result.output
    assert len(gate.endpoint.requests) == asked + 2 * QUESTIONS - (ANSWERED + 2)
    assert f"6 of {QUESTIONS} tasks of 'validation' stay" in result.output


def test_two_evaluations_do_not_write_to_one_folder(gate: Gate, toy_data: Path, tmp_path: Path) -> None:
    """The second is refused, whoever holds the folder; when that one ends, it may go on."""
    gate.opened.set()
    out = tmp_path / "e"
    evaluate(target_at(gate.endpoint), out=out, data=toy_data)
    with EvaluationFolder(path=out).locked(), pytest.raises(RunError, match="another process is evaluating into"):
        evaluate(target_at(gate.endpoint), out=out, data=toy_data)
    assert evaluate(target_at(gate.endpoint), out=out, data=toy_data).summary is not None
