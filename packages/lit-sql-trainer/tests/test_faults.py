"""Endpoints fail and runners die; training uses only what was clean, counts the rest, and stops when it is too much.

All cases run in one process, `programs/train_with_faults.py`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lit_sql_trainer.runs import RunFolder, events, read_lines

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PROGRAM = Path(__file__).parent / "programs" / "train_with_faults.py"


@pytest.fixture(scope="module")
def cases(weak_model: Path, toy_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Every case's report, with its run folder."""
    runs = tmp_path_factory.mktemp("faults")
    done = subprocess.run(
        [sys.executable, PROGRAM, runs, weak_model, toy_data],
        capture_output=True,
        text=True,
        timeout=550,
    )
    reports = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(reports) == 4, done.stdout + done.stderr
    return {report["name"]: {**report, "run": RunFolder(path=runs / report["name"])} for report in reports}


def test_with_retries_a_run_completes(cases: dict[str, dict[str, Any]]) -> None:
    """One request in twenty fails in one of three ways; every rollout still ends, and nothing is dropped."""
    case = cases["retried"]
    assert (case["problem"], case["faults"] > 0) == ("", True)
    steps = events(case["run"].metrics(), "step")
    assert [(line["rollouts"], line["dropped"]) for line in steps] == [(16, 0), (16, 0)]


def test_without_retries_only_clean_rollouts_train(cases: dict[str, dict[str, Any]]) -> None:
    """A failed rollout is counted, has no reward and is not in the mean; the others are all there."""
    case = cases["dropped"]
    assert case["problem"] == ""
    records = list(read_lines(case["run"].rollouts_file))
    failed = [record for record in records if record["failed"]]
    assert len(failed) == case["faults"] > 0
    assert all(record["reward"] is None and "ModelCallError" in record["failed"] for record in failed)
    for line in events(case["run"].metrics(), "step"):
        mine = [record for record in records if record["mode"] == "train" and record["step"] == line["step"]]
        clean = [record["reward"] for record in mine if not record["failed"]]
        assert (line["rollouts"], line["dropped"]) == (len(clean), 16 - len(clean))
        assert line["reward"] == pytest.approx(sum(clean) / len(clean))
        assert sum(line["drop_reasons"].values()) == line["dropped"]


def test_an_endpoint_that_is_down_stops_the_run(cases: dict[str, dict[str, Any]]) -> None:
    """With the reason, before anything was trained."""
    case = cases["down"]
    assert case["problem"].startswith("FailureLimitError")
    assert "failed for reasons that are not the policy's" in case["problem"]
    assert "server_error" in case["problem"] or "timed out" in case["problem"] or "onnection" in case["problem"]
    assert events(case["run"].metrics(), "step") == []


def test_a_killed_runner_costs_one_rollout(cases: dict[str, dict[str, Any]]) -> None:
    """The other runner goes on; what the dead one held is given up once it has been silent for long, and counted."""
    case = cases["runner_killed"]
    assert case["problem"] == ""
    steps = events(case["run"].metrics(), "step")
    assert [line["step"] for line in steps] == [1, 2]
    assert sum(line["dropped"] for line in steps) <= 1
    reasons = {reason for line in steps for reason in line["drop_reasons"]}
    assert reasons <= {"its runner showed no sign of life for 20 s"}
    assert sum(line["rollouts"] + line["dropped"] for line in steps) == 32
