"""Runs that end by themselves before their last step: an alarm, or validation without gain.

One process trains both, as it is mostly the library's import.
"""

from __future__ import annotations

import json
import subprocess
import sys
from html import escape
from pathlib import Path
from typing import Any

import pytest

from lit_sql_trainer.runs import RunFolder, events

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PROGRAM = Path(__file__).parent / "programs" / "train_until_stopped.py"


@pytest.fixture(scope="module")
def ended(
    weak_model: Path, toy_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[dict[str, Any]], str]:
    """The folder of both runs, what `train` returned for them and for resuming the second, and what was printed."""
    runs = tmp_path_factory.mktemp("runs")
    command = [sys.executable, PROGRAM, runs, weak_model, toy_data]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    results = [
        json.loads(line.removeprefix("RESULT ")) for line in done.stdout.splitlines() if line.startswith("RESULT ")
    ]
    return runs, results, done.stdout


def saved_step(run: RunFolder) -> int:
    return json.loads((run.checkpoints / "last" / "state.json").read_text())["step"]


def test_an_alarm_ends_a_run_with_its_checkpoint(ended: tuple[Path, list[dict[str, Any]], str]) -> None:
    """After the step that raised it: checkpoint, end and report are written, and the reason and the way on are said."""
    runs, (result, *_), output = ended
    run = RunFolder(path=runs / "alarmed")
    assert 2 <= result["steps"] < 6
    assert not result["interrupted"]
    monitor, _, text = result["alarm"].partition(": ")
    first = events(run.metrics(), "alarm")[0]
    assert (first["monitor"], first["text"], first["step"]) == (monitor, text, result["steps"])
    assert saved_step(run) == result["steps"]
    (end,) = events(run.metrics(), "end")
    assert end["reason"] == f"stopped by an alarm, {result['alarm']}"
    report = run.report_file.read_text()
    assert f"{monitor.replace('_', ' ')}</strong>: {escape(text)}" in report
    assert "stopped by an alarm" in report
    assert f"alarm after step {result['steps']}, {monitor}: {text}" in output
    assert f"stopped after step {result['steps']} by the alarm {monitor}" in output
    assert f"--resume {run.path}" in output


def test_patience_ends_a_run(ended: tuple[Path, list[dict[str, Any]], str]) -> None:
    """After two validations without gain; that is no failure, and resuming it ends at once for the same reason."""
    runs, (_, result, again), output = ended
    run = RunFolder(path=runs / "stale")
    assert result == again == {"steps": 2, "alarm": "", "interrupted": False}
    assert saved_step(run) == 2
    reasons = [end["reason"] for end in events(run.metrics(), "end")]
    assert len(reasons) == 2
    assert all("2 validations in a row gained no more than one standard error" in reason for reason in reasons)
    assert "ended early after step 2: 2 validations" in output
    assert f"report in {run.report_file}" in output
    assert "2 validations in a row" in run.report_file.read_text()
