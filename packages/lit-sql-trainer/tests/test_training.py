"""Whole runs of `train tiny`: what they leave behind, how they are stopped, and that they go on as if unbroken.

Each run is a process of its own and mostly the library's import, so there are few, and several tests look at each.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lit_sql_trainer.runs import RunFolder, events

PROGRAMS = Path(__file__).parent / "programs"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SETTINGS = {
    "steps": 4,
    "tasks_per_step": 4,
    "rollouts_per_task": 4,
    "validate_every": 2,
    "checkpoint_every": 2,
    "learning_rate": 3e-3,
    "max_tokens": 48,
    "torch_threads": 1,
    "seed": 1,
}


def command(profile: str, *options: object) -> list[str]:
    return [str(Path(sys.executable).with_name("train")), profile, *map(str, options)]


def start(weak_model: Path, data: Path, runs: Path, name: str) -> subprocess.Popen[str]:
    settings = [option for key, value in SETTINGS.items() for option in ("--set", f"{key}={value}")]
    options = ["--model", weak_model, "--data", data, "--runs", runs, "--name", name, *settings]
    return subprocess.Popen(
        command("tiny", *options), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def finish(process: subprocess.Popen[str]) -> str:
    return process.communicate(timeout=300)[0]


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """The output up to the line that holds `text`."""
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return "".join(lines)
    pytest.fail(f"the run ended before it said {text!r}:\n{''.join(lines)}")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def whole(weak_model: Path, toy_data: Path, runs: Path) -> tuple[RunFolder, str]:
    """A run that nobody disturbed, and what it printed."""
    process = start(weak_model, toy_data, runs, "whole")
    output = finish(process)
    assert process.returncode == 0, output
    return RunFolder(path=runs / "whole"), output


def numbers(run: RunFolder, kind: str) -> list[dict[str, Any]]:
    """What a run learned at each event, without what depends on the clock."""
    timed = ("seconds", "tokens_per_s", "server_busy_s", "batches", "rss_mb", "query_seconds")
    return [
        {key: value for key, value in line.items() if not key.startswith(timed)} for line in events(run.metrics(), kind)
    ]


def test_a_run_leaves_what_it_promises(whole: tuple[RunFolder, str], toy_data: Path) -> None:
    """A line per step and per rollout without gold, two checkpoints that load, a report, config and surroundings."""
    run, _ = whole
    steps, validations = events(run.metrics(), "step"), events(run.metrics(), "validation")
    assert [line["step"] for line in steps] == [1, 2, 3, 4]
    assert [line["step"] for line in validations] == [0, 2, 4]
    assert all(sum(line["outcomes"].values()) + line["dropped"] == 16 for line in steps)
    assert all(sum(line["outcomes"].values()) == 12 for line in validations)
    records = [json.loads(line) for line in run.rollouts_file.read_text().splitlines()]
    assert len(records) == 4 * 16 + 3 * 12
    assert len({record["rollout_id"] for record in records}) == len(records)
    for checkpoint in ("best", "last"):
        assert (run.checkpoints / checkpoint / "model.safetensors").is_file()
        assert (run.checkpoints / checkpoint / "tokenizer.json").is_file()
    assert run.report_file.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert run.config()["grpo"]["learning_rate"] == 3e-3
    assert json.loads((run.path / "environment.json").read_text())["versions"]["torch"]


def test_the_rewards_of_a_step_are_those_of_its_rollouts(whole: tuple[RunFolder, str]) -> None:
    """The mean that the algorithm reports is the mean of what the runners returned."""
    run, _ = whole
    records = [json.loads(line) for line in run.rollouts_file.read_text().splitlines()]
    for line in events(run.metrics(), "step"):
        rewards = [
            r["reward"] for r in records if r["mode"] == "train" and r["step"] == line["step"] and not r["failed"]
        ]
        assert line["reward"] == pytest.approx(sum(rewards) / len(rewards))
    trained = [line for line in events(run.metrics(), "step") if line["grad_norm"] > 0]
    assert len(trained) >= 3  # else the tests of resuming below would compare nothing


def test_no_gold_is_written(whole: tuple[RunFolder, str], toy_data: Path) -> None:
    """No gold query that no reply contained is anywhere in the run folder's text files or in the output."""
    from spider_data import read_tasks

    run, output = whole
    records = [json.loads(line) for line in run.rollouts_file.read_text().splitlines()]
    written = {sql for record in records for sql in record["sql"] if sql}
    unseen = [
        task.query
        for split in ("train", "validation")
        for task in read_tasks(toy_data / f"{split}.parquet")
        if not any(task.query in sql for sql in written)
    ]
    assert unseen
    texts = [output, *(file.read_text() for file in run.path.glob("*.*") if file.suffix != ".png")]
    for gold in unseen:
        assert not any(gold in text for text in texts)


def test_the_output_says_how_it_goes(whole: tuple[RunFolder, str]) -> None:
    """Plain lines where there is no terminal: each step and validation, then where the results are."""
    run, output = whole
    assert "step 4/4  reward" in output
    assert "validation after step 4" in output
    assert f"best model in {run.checkpoints / 'best'}" in output
    assert "Traceback" not in output
    assert len(output.splitlines()) < 15


@pytest.fixture(scope="module")
def stopped(weak_model: Path, toy_data: Path, runs: Path, whole: object) -> tuple[RunFolder, str, int]:
    """A run that got Ctrl-C, as a terminal sends it, after its first step."""
    process = start(weak_model, toy_data, runs, "stopped")
    seen = read_until(process, "step 1/4")
    os.killpg(process.pid, signal.SIGINT)
    output = seen + finish(process)
    return RunFolder(path=runs / "stopped"), output, process.returncode


def test_ctrl_c_finishes_the_step_and_says_how_to_go_on(stopped: tuple[RunFolder, str, int]) -> None:
    """The step under way is done, the checkpoint written, no rollout lost to the signal."""
    run, output, code = stopped
    assert code == 130, output
    done = [line["step"] for line in events(run.metrics(), "step")]
    assert done in ([1], [1, 2])
    assert json.loads((run.checkpoints / "last" / "state.json").read_text())["step"] == done[-1]
    assert all(line["dropped"] == 0 for line in events(run.metrics(), "step"))
    assert f"stopped after step {done[-1]}" in output
    assert f"--resume {run.path}" in output
    assert "Traceback" not in output


@pytest.fixture(scope="module")
def killed(weak_model: Path, toy_data: Path, runs: Path, whole: object) -> RunFolder:
    """A run that was killed after its third step, one step after its last checkpoint."""
    process = start(weak_model, toy_data, runs, "killed")
    read_until(process, "step 3/4")
    runners = children(process.pid)
    process.kill()
    process.wait()
    for _ in range(100):
        if not any(Path(f"/proc/{runner}").exists() for runner in runners):
            break
        time.sleep(0.1)
    else:
        pytest.fail(f"runners {runners} outlived their run")
    return RunFolder(path=runs / "killed")


def children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    assert len(found) >= 2
    return [int(child) for child in found]


@pytest.fixture(scope="module")
def resumed(stopped: tuple[RunFolder, str, int], killed: RunFolder, runs: Path) -> tuple[RunFolder, RunFolder]:
    """Both broken runs, gone on with to their end in one further process."""
    command = [sys.executable, PROGRAMS / "resume_runs.py", runs, "stopped", "killed"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    return stopped[0], killed


@pytest.mark.parametrize("which", [0, 1], ids=["stopped", "killed"])
def test_a_broken_run_does_the_rollouts_of_an_unbroken_one(
    resumed: tuple[RunFolder, RunFolder], whole: tuple[RunFolder, str], which: int
) -> None:
    """The same tasks, the same SQL at every turn, the same outcomes: none missing, none twice."""

    def done(run: RunFolder) -> list[tuple[Any, ...]]:
        records = [json.loads(line) for line in run.rollouts_file.read_text().splitlines()]
        return sorted(
            (r["mode"], r["step"], r["task_id"], r["sample"], str(r["sql"]), r["outcome"], r["failed"]) for r in records
        )

    assert done(resumed[which]) == done(whole[0])


@pytest.mark.parametrize("which", [0, 1], ids=["stopped", "killed"])
def test_a_broken_run_goes_on_with_the_numbers_of_an_unbroken_one(
    resumed: tuple[RunFolder, RunFolder], whole: tuple[RunFolder, str], which: int
) -> None:
    """Every step's rewards, losses and gradients, and every validation, equal those of the undisturbed run.

    Up to rounding: which requests share a batch depends on the moment, and with it the last bits of a
    log-probability. `logprob_gap` is nothing but rounding.
    """
    for kind in ("step", "validation"):
        ours, theirs = numbers(resumed[which], kind), numbers(whole[0], kind)
        assert len(ours) == len(theirs)
        for mine, other in zip(ours, theirs, strict=True):
            assert mine.pop("logprob_gap", 0.0) < 1e-3
            other.pop("logprob_gap", None)
            assert mine.keys() == other.keys()
            for key, value in mine.items():
                assert value == (pytest.approx(other[key], rel=1e-4) if isinstance(value, float) else other[key]), key


@pytest.mark.parametrize("which", [0, 1], ids=["stopped", "killed"])
def test_a_broken_run_ends_with_the_weights_of_an_unbroken_one(
    resumed: tuple[RunFolder, RunFolder], whole: tuple[RunFolder, str], which: int
) -> None:
    """Tensor by tensor, up to rounding; a step of this run moves a weight by a thousand times as much."""
    from safetensors.torch import load_file

    ours, theirs = (load_file(run.checkpoints / "last" / "model.safetensors") for run in (resumed[which], whole[0]))
    assert ours.keys() == theirs.keys()
    assert max(float((ours[name] - theirs[name]).abs().max()) for name in ours) < 1e-4


def test_the_same_checkpoint_validates_to_the_same_number(
    resumed: tuple[RunFolder, RunFolder], whole: tuple[RunFolder, str]
) -> None:
    """Three processes validated the same first weights, greedily, and got the same rewards task by task."""

    def first(run: RunFolder) -> Sequence[tuple[str, Any]]:
        records = [json.loads(line) for line in run.rollouts_file.read_text().splitlines()]
        return sorted((r["task_id"], r["sql"], r["outcome"]) for r in records if r["mode"] == "val" and r["step"] == 0)

    assert len(first(whole[0])) == 12
    assert first(whole[0]) == first(resumed[0]) == first(resumed[1])
