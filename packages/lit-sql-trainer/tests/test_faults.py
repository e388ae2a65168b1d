"""Endpoints fail and runners die; training uses only what was clean, counts the rest, and stops when it is too much.

The model is the local server's, behind a relay that fails a share of the requests. All cases run in one process.
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

SCRIPT = '''
import dataclasses, json, os, signal, sys, threading, time
from pathlib import Path
from lit_sql_trainer import PROFILES, configure, train
from lit_sql_trainer.errors import TrainerError
from lit_sql_trainer.machine.environment import guard_environment
from lit_sql_trainer.testing import Fault, ScriptedEndpoint

guard_environment(local_model=True)
import httpx
from lit_sql_trainer.local.server import LocalServer

runs, model, data = map(Path, sys.argv[1:])
real_url = LocalServer.url.fget

class Relay(ScriptedEndpoint):
    """Passes requests on to the local server, but for those that fail."""
    def completion(self, body):
        return httpx.post(f"{self.target}/chat/completions", json=body, timeout=60).json()

def every(share):
    """Fails this share of the requests, each kind in turn; evenly spread, so that the count is known."""
    kinds = list(Fault)
    def fault(number):
        due = int(number * share) > int((number - 1) * share)
        return kinds[int(number * share) % len(kinds)] if due else None
    return fault

def case(name, share, *assignments, during=None):
    profile = configure(
        PROFILES["tiny"],
        ["steps=2", "tasks_per_step=4", "rollouts_per_task=4", "validate_every=0", "validation_tasks=4",
         "max_tokens=48", "torch_threads=1", "learning_rate=3e-3", "dropped_window=64", "request_timeout_s=3",
         "rollout.deadline_s=10", "rollout_timeout_s=40", *assignments],
        model=str(model), data=data,
    )
    with Relay(lambda body: "", fault=every(share)) as relay:
        def url(server):
            relay.target = real_url(server)
            return relay.url
        LocalServer.url = property(url)
        started, problem = time.monotonic(), ""
        if during is not None:
            threading.Thread(target=during, daemon=True).start()
        try:
            train(profile, runs=runs, name=name)
        except TrainerError as error:
            problem = f"{type(error).__name__}: {error}"
        print(json.dumps({"name": name, "problem": problem, "seconds": time.monotonic() - started,
                          "requests": len(relay.requests), "faults": relay.faults}), flush=True)

def kill_a_runner():
    """Kill one runner as soon as the first training rollout is written."""
    file = runs / "runner_killed" / "rollouts.jsonl"
    while not (file.exists() and '"train"' in file.read_text()):
        time.sleep(0.02)
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGKILL)

case("retried", 0.05)
case("dropped", 0.05, "max_retries=0", "max_dropped_share=1")
case("down", 1.0)
case("runner_killed", 0.0, "max_dropped_share=0.5", "runner_timeout_s=20", "rollout_timeout_s=150",
     during=kill_a_runner)
'''


@pytest.fixture(scope="module")
def cases(weak_model: Path, toy_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Every case's report, with its run folder."""
    runs = tmp_path_factory.mktemp("faults")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(runs), str(weak_model), str(toy_data)],
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
