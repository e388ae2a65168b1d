"""VERL's real loop without a GPU, run and run again. Minutes each; needs the environment that `make proof` installs."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lit_sql_trainer.errors import SetupError
from lit_sql_trainer.profile import Strategy
from lit_sql_trainer.runs import RunFolder, read_lines
from sql_train.proof.checks import Evidence, batch_order
from sql_train.proof.run import INSTALL, check_environment

try:
    check_environment()
except SetupError as missing:
    pytest.skip(f"{missing}", allow_module_level=True)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2700)]

PROGRAM = Path(__file__).with_name("prove.py")


@dataclass(frozen=True)
class Proof:
    """A run that ended."""

    run: RunFolder
    report: dict[str, Any]
    output: str


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("proofs")


def prove(runs: Path, name: str, fault: str = "none", **settings: object) -> Proof:
    """Run a proof in a process of its own: a run forks, starts Ray, and ends all of it."""
    given = [str(part) for setting in settings.items() for part in setting]
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(runs), name, fault, *given],
        capture_output=True, text=True, check=False, timeout=2400,
    )  # fmt: skip
    assert done.returncode == 0, f"{INSTALL}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    report = json.loads(done.stdout.splitlines()[-1])
    return Proof(run=RunFolder(path=Path(report["run"])), report=report, output=done.stdout)


@pytest.fixture(scope="module")
def first(runs: Path) -> Proof:
    return prove(runs, "first")


def test_the_loop_does_what_it_should(first: Proof) -> None:
    """Every check of the proof holds; see `checks` and `weights`."""
    assert first.report["ok"], first.output
    assert first.report["dropped"] == [1, 0]


def test_numbers_equal_a_hand_computation(first: Proof) -> None:
    """Samples, drops and group weights, from nothing but the runners' lines and the traced calls."""
    evidence = Evidence.of(first.run)
    calls = {
        record["rollout_id"]: sum(call["node"] in ("write_query", "rewrite_query") for call in record["calls"])
        for record in evidence.calls
    }
    for line in evidence.steps():
        done = [r for r in evidence.rollouts if r["mode"] == "train" and r["step"] == line["step"]]
        groups: dict[str, list[Any]] = defaultdict(list)
        for record in done:
            if not record["failed"]:
                groups[record["task_id"]].append(record)
        assert line["rollouts"] == sum(map(len, groups.values()))
        assert line["dropped"] == (1 if line["step"] == 1 else 0) == len(done) - line["rollouts"]
        assert line["rollouts"] + line["dropped"] == 4 * (4 + line["refilled_groups"])
        weights = []
        for group in groups.values():
            rewards = [record["reward"] for record in group]
            if 0 < sum(rewards) < len(rewards):
                spread = statistics.stdev(rewards) + 1e-6
                centre = statistics.mean(rewards)
                for record in group:
                    turns = calls[record["rollout_id"]]
                    weights += [round((record["reward"] - centre) / spread / turns, 5)] * turns
        rows = [row for row in evidence.rows if row["step"] == line["step"]]
        assert sorted(weights) == sorted(round(row["advantage"] * row["weight"], 5) for row in rows)
        assert len(rows) == line["rows"] > 0


def test_one_seed_gives_one_run(first: Proof, runs: Path) -> None:
    """The same validation numbers and the same sampled batches in the same order."""
    again = prove(runs, "again")
    assert again.report["validation"] == first.report["validation"]
    assert batch_order(Evidence.of(again.run)) == batch_order(Evidence.of(first.run))


@pytest.mark.parametrize("strategy", Strategy)
def test_two_workers_take_the_step_of_one(strategy: Strategy, first: Proof, runs: Path) -> None:
    """The same rows, dealt over two ranks and sampled by two servers, make the same gradient, however VERL shards."""
    both = prove(runs, f"workers-{strategy}", ranks=2, strategy=strategy)
    assert both.report["ok"], both.output
    one, two = Evidence.of(first.run), Evidence.of(both.run)
    rows = [
        sorted(
            (row["part"], row["prompt_ids"], row["token_ids"], row["advantage"])
            for row in each.rows
            if row["step"] == 1
        )
        for each in (one, two)
    ]
    assert rows[0] == rows[1]
    norms = [[line["grad_norm"] for line in each.gradients if line["step"] == 1] for each in (one, two)]
    assert norms[0] == pytest.approx(norms[1], rel=1e-3)


def test_an_adapter_is_trained_and_served(runs: Path) -> None:
    """As `qwen-24gb` trains: vLLM samples from base and adapter as trained, not from the base alone."""
    proof = prove(runs, "adapter", adapter_rank=8)
    assert proof.report["ok"], proof.output


def test_a_checkpoint_is_scored_alone(first: Proof, runs: Path) -> None:
    """Validation of `global_step_2` gives the number that the run gave after its second step."""
    folder = first.run.checkpoints / "global_step_2"
    scored = prove(runs, "scored", validate_only=folder)
    assert scored.report["validation"] == first.report["validation"][-1:]


def test_a_run_goes_on_from_its_checkpoint(first: Proof, runs: Path) -> None:
    """A third step from the folder of the first two: other tasks, and weights that go on from the checkpoint's."""
    before = Evidence.of(first.run)
    resumed = prove(runs, "", resume=first.run.path, steps=3)
    assert resumed.run == first.run
    after = Evidence.of(resumed.run)
    assert [line["step"] for line in after.steps()] == [1, 2, 3]
    assert list(after.steps()[:2]) == list(before.steps())


def test_a_killed_server_stops_the_run_with_the_reason(runs: Path) -> None:
    """No reward is made up, and the finished step is saved."""
    assert prove(runs, "server", "server").report["ok"]


def test_a_killed_runner_costs_its_rollout(runs: Path) -> None:
    """The run ends well with the other runner."""
    assert prove(runs, "runner", "runner").report["dropped"] == [2, 0]


def test_a_broken_gold_costs_its_group(runs: Path) -> None:
    """Its four rollouts are dropped with the reason, and the gold query is in no file of the run."""
    proof = prove(runs, "gold", "gold")
    assert proof.report["dropped"] == [5, 0]
    assert any("GoldSqlError" in line["failed"] for line in read_lines(proof.run.rollouts_file))
