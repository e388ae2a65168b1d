"""Whoever asks a run to stop, and however, finds it gone soon after, with its checkpoint and without its children."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lit_sql_trainer.runs import RunFolder, events

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PROGRAM = Path(__file__).parent / "programs" / "train_with_a_hanging_model.py"
GONE_S = 30.0
"""Three times what a run may take to go, for a busy machine."""


def start(model: Path, data: Path, runs: Path, name: str, *extra: str) -> subprocess.Popen[str]:
    settings = ["steps=50", "tasks_per_step=4", "rollouts_per_task=4", "validate_every=0", "validation_tasks=4",
                "max_tokens=48", "torch_threads=1", *extra]  # fmt: skip
    options = ["--model", str(model), "--data", str(data), "--runs", str(runs), "--name", name]
    for setting in settings:
        options += ["--set", setting]
    return subprocess.Popen(
        [Path(sys.executable).with_name("train"), "tiny", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def read_until(process: subprocess.Popen[str], text: str) -> str:
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return "".join(lines)
    pytest.fail(f"the run ended before it said {text!r}:\n{''.join(lines)}")


def group_is_gone(group: int) -> bool:
    """Whether no process of the group is left; those that ended and wait for their parent do not count."""
    for place in Path("/proc").glob("[0-9]*"):
        try:
            state, _, pgrp = (place / "stat").read_text().rsplit(")", 1)[1].split()[:3]
        except (OSError, ValueError):
            continue
        if int(pgrp) == group and state != "Z":
            return False
    return True


def assert_gone(process: subprocess.Popen[str]) -> str:
    output = process.communicate(timeout=120)[0]
    ends = time.monotonic() + GONE_S
    while not group_is_gone(process.pid):
        assert time.monotonic() < ends, "children outlived the run"
        time.sleep(0.2)
    assert "Traceback" not in output
    return output


def test_sigterm_to_the_group_is_a_checkpoint(weak_model: Path, toy_data: Path, tmp_path: Path) -> None:
    """As `timeout`, systemd and SLURM send it: the runners work on, no rollout is lost, the exit code is 143."""
    process = start(weak_model, toy_data, tmp_path, "termed")
    seen = read_until(process, "step 1/50")
    os.killpg(process.pid, signal.SIGTERM)
    output = seen + assert_gone(process)
    assert process.returncode == 143, output
    run = RunFolder(path=tmp_path / "termed")
    steps = events(run.metrics(), "step")
    assert all(line["dropped"] == 0 for line in steps)
    assert json.loads((run.checkpoints / "last" / "state.json").read_text())["step"] == steps[-1]["step"]
    assert run.metrics()[-1]["reason"] == "stopped by SIGTERM"
    assert f"--resume {run.path}" in output


def test_sighup_before_the_first_validation_stops_there(weak_model: Path, toy_data: Path, tmp_path: Path) -> None:
    """The terminal is gone while the model is loaded: nothing is validated or trained, the exit code is 129."""
    process = start(weak_model, toy_data, tmp_path, "hung_up")
    output = read_until(process, "loading the model")
    os.killpg(process.pid, signal.SIGHUP)
    output += assert_gone(process)
    assert process.returncode == 129, output
    run = RunFolder(path=tmp_path / "hung_up")
    assert [line["event"] for line in run.metrics()] == ["end"]


def test_a_second_signal_ends_at_once(weak_model: Path, toy_data: Path, tmp_path: Path) -> None:
    """Whatever the run does: the second Ctrl-C is 130, and nobody is left."""
    process = start(weak_model, toy_data, tmp_path, "twice", "rollouts_per_task=32")
    output = read_until(process, "step 1/50")
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGINT)
    output += assert_gone(process)
    assert process.returncode == 130, output


def test_a_run_that_stops_with_a_reason_takes_its_children_along(
    weak_model: Path, toy_data: Path, tmp_path: Path
) -> None:
    """The model hangs, so rollouts are given up and the run stops; runners that still wait for it go with it."""
    process = subprocess.Popen(
        [sys.executable, str(PROGRAM), str(weak_model), str(toy_data), str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    output = read_until(process, "giving up")
    began = time.monotonic()
    output += assert_gone(process)
    assert "FailureLimitError" in output
    assert time.monotonic() - began < GONE_S
