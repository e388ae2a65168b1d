"""Measured again, a checkpoint has exactly the number that training's validation gave it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lit_sql_trainer import compare, evaluate, find_target
from lit_sql_trainer.errors import RunError
from lit_sql_trainer.models import Checkpoint
from lit_sql_trainer.runs import RunFolder, create_run, events, read_lines

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

TRAIN = Path(sys.executable).with_name("train")
SETTINGS = {
    "steps": 2,
    "tasks_per_step": 4,
    "rollouts_per_task": 4,
    "validate_every": 2,
    "learning_rate": 3e-3,
    "max_tokens": 48,
    "validation_tasks": 10,
    "torch_threads": 1,
}


@pytest.fixture(scope="module")
def run(weak_model: Path, toy_data: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A short run, with a validation at its start and its end."""
    runs = tmp_path_factory.mktemp("runs")
    options = ["tiny", "--model", weak_model, "--data", toy_data, "--runs", runs, "--name", "short"]
    options += [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]
    done = subprocess.run([TRAIN, *map(str, options)], capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return RunFolder(path=runs / "short")


def validations(run: RunFolder) -> dict[int, dict[str, Any]]:
    return {int(line["step"]): dict(line) for line in events(run.metrics(), "validation")}


def test_the_last_checkpoint_has_its_validation(run: RunFolder, tmp_path: Path) -> None:
    """The same rate to the last bit, the same queries for every question, on the questions that validation asked."""
    done = evaluate(find_target(run=run.path, checkpoint=Checkpoint.LAST), out=tmp_path / "e", split="validation")
    assert done.summary is not None
    assert done.summary["questions"] == SETTINGS["validation_tasks"]
    agent = next(line for line in done.summary["lines"] if line["name"] == "agent")
    assert agent["suite"]["rate"] == validations(run)[2]["reward"]
    assert done.summary["outcomes"] == validations(run)[2]["outcomes"]
    rollouts = [row for row in read_lines(run.rollouts_file) if row["mode"] != "train" and row["step"] == 2]
    assert {row["task_id"]: row["sql"] for row in rollouts} == {
        record.task_id: list(record.queries) for record in done.records
    }


def test_the_best_checkpoint_has_the_best_validation(run: RunFolder, tmp_path: Path) -> None:
    """By default the best is what is evaluated; two evaluations of it, alone and in company, are equal."""
    best = max(line["reward"] for line in validations(run).values())
    target = find_target(run=run.path)
    for name, workers in (("a", 1), ("b", 16)):
        summary = evaluate(target, out=tmp_path / name, split="validation", workers=workers).summary
        assert summary is not None
        assert next(line for line in summary["lines"] if line["name"] == "agent")["suite"]["rate"] == best
    found = compare(tmp_path / "a", tmp_path / "b")
    assert (found.suite.difference, found.won, found.lost, found.differs) == (0, (), (), ())


def test_a_model_folder_is_asked_as_it_was_trained(run: RunFolder) -> None:
    """A checkpoint that is named by its folder gets its run's prompts; a profile that is named wins."""
    folder = str(run.checkpoints / "best")
    assert find_target(model=folder).profile == find_target(run=run.path).profile
    assert find_target(model=folder, profile="tiny").profile != find_target(run=run.path).profile


def test_a_run_without_the_checkpoint_is_refused(tmp_path: Path, run: RunFolder) -> None:
    """The other one is offered."""
    empty = create_run(tmp_path, profile="tiny", config=run.config(), name="empty")
    with pytest.raises(RunError, match="has no checkpoint 'best'"):
        find_target(run=empty.path)
