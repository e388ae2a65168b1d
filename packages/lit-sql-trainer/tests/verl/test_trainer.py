"""The trainer's order of things, on stand-ins for VERL's workers and the daemon. Needs verl."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the `cpu`, `app` or `proof` dependency group")
pytest.importorskip("verl", reason="needs the `app` or `proof` dependency group")

from ray.exceptions import ActorDiedError  # noqa: E402
from verl import DataProto  # noqa: E402

from lit_sql_trainer.errors import FailureLimitError, RunError  # noqa: E402
from lit_sql_trainer.profile.verl import LitSql  # noqa: E402
from lit_sql_trainer.rollouts import (  # noqa: E402
    Collected,
    DroppedRollout,
    DropWindow,
    Episode,
    PlannedRollout,
    Sampled,
)
from lit_sql_trainer.runs import (  # noqa: E402
    RunFolder,
    RunWatcher,
    read_lines,
)
from lit_sql_trainer.verl.plan import update_plan  # noqa: E402
from lit_sql_trainer.verl.relay import LinesOnly, RunFacts  # noqa: E402
from lit_sql_trainer.verl.state import VerlState, read_state  # noqa: E402
from lit_sql_trainer.verl.trainer import SqlTrainer  # noqa: E402

Judge = Callable[[PlannedRollout], float | None]


def mixed(planned: PlannedRollout) -> float | None:
    """Every other rollout of a group is right."""
    return float(planned.sample % 2)


@dataclass
class Workers:
    """VERL's worker group: remembers what it was given, learns nothing."""

    updates: list[DataProto] = field(default_factory=list)
    log_probs: int = 0

    def compute_log_prob(self, batch: DataProto) -> DataProto:
        self.log_probs += 1
        zeros = torch.zeros(batch.batch["responses"].shape)
        return DataProto.from_dict(tensors={"old_log_probs": zeros, "entropys": zeros + 0.5})

    def update_actor(self, batch: DataProto) -> DataProto:
        self.updates.append(batch)
        return DataProto(meta_info={"metrics": {"actor/pg_loss": 0.1, "actor/grad_norm": [1.0, 2.0], "actor/lr": 1e-6}})


@dataclass
class Daemon:
    """Makes up what `judge` says of each planned rollout; None drops it."""

    judge: Judge = mixed
    drops: DropWindow = field(default_factory=lambda: DropWindow(limit=0.02, size=256))
    plans: list[list[PlannedRollout]] = field(default_factory=list)

    def open(self, addresses: Sequence[str]) -> None:
        assert addresses == ["host:1"]

    def close(self) -> None:
        """Nothing to stop."""

    def collect(self, plan: Sequence[PlannedRollout], *, train: bool, step: int) -> Collected:
        self.plans.append(list(plan))
        result = Collected(seconds=1.0)
        for planned in plan:
            reward = self.judge(planned)
            name = f"{planned.group}-{planned.sample}"
            if reward is None:
                result.dropped.append(
                    DroppedRollout(group=planned.group, sample=planned.sample, rollout_id=name, reason="broken")
                )
                self.drops.lost("broken")
                continue
            self.drops.kept()
            calls = tuple(
                Sampled(prompt_ids=(1, 2, 3), token_ids=(4, 5), logprobs=()) for _ in range(1 + planned.sample % 2)
            )
            result.episodes.append(
                Episode(group=planned.group, sample=planned.sample, rollout_id=name, reward=reward, calls=calls)
            )
        return result


class Manager:
    """VERL's manager of vLLM servers."""

    def __init__(self) -> None:
        self.server_addresses = ["host:1"]
        self.log: list[str] = []

    def wake_up(self) -> None:
        self.log.append("wake")

    def sleep(self) -> None:
        self.log.append("sleep")


class Stage(SqlTrainer):
    """A trainer without VERL around it."""

    def __init__(self, folder: Path, *, judge: Judge = mixed, settings: LitSql | None = None, **trainer: Any) -> None:
        actor = {"ppo_mini_batch_size": 2, "ppo_micro_batch_size_per_gpu": 2}
        config = {
            "algorithm": {"adv_estimator": "grpo"},
            "data": {"train_batch_size": 4, "max_prompt_length": 6, "max_response_length": 5},
            "actor_rollout_ref": {"rollout": {"n": 2}, "actor": actor},
            "trainer": {"n_gpus_per_node": 1, "nnodes": 1},
        }
        self.settings = settings or LitSql()
        self.plan = update_plan(config, max_calls=2, refill_factor=self.settings.refill_factor)
        self.normalise = True
        rollout = SimpleNamespace(temperature=1.0, multi_turn=SimpleNamespace(enable=False))
        options = {"save_freq": 1, "test_freq": 2, "balance_batch": True} | trainer
        places = {"default_local_dir": str(folder / "checkpoints")}
        self.config = SimpleNamespace(
            actor_rollout_ref=SimpleNamespace(rollout=rollout), trainer=Options(**options, **places)
        )
        self.facts = RunFacts(folder=folder, max_calls=2)
        self.run = RunFolder(path=folder)
        self.watcher = RunWatcher(self.run, LinesOnly())
        self.state = VerlState(seed=self.settings.seed)
        self.saved_step = None
        self.skipped_updates = 0
        self.total_training_steps = 2
        self.use_reference_policy = False
        self.tokenizer = SimpleNamespace(pad_token_id=0)
        self.tracking = SimpleNamespace(log=lambda data, step: None)
        self.daemon = Daemon(judge)
        self.async_rollout_manager = Manager()
        self.actor_rollout_wg = Workers()
        self.tasks = [{"task_id": str(number)} for number in range(12)]
        self.validation_tasks = [{"hardness": "easy"}, {"hardness": "hard"}]
        self.saved: list[int] = []

    def _open(self) -> None:
        """Everything is open."""

    def metrics(self, kind: str) -> list[dict[str, Any]]:
        return [line for line in read_lines(self.run.metrics_file) if line["event"] == kind]


class Options(SimpleNamespace):
    """As a configuration section."""

    def get(self, name: str, default: Any = None) -> Any:
        return getattr(self, name, default)


@pytest.fixture(autouse=True)
def verl_saves_into_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    """VERL's own part of a checkpoint is a file."""

    def save(self: Stage) -> None:
        self.saved.append(self.state.step)
        actor = self._folder() / "actor"
        actor.mkdir(exist_ok=True)
        (actor / "model.pt").write_text(str(self.state.step))

    monkeypatch.setattr("verl.trainer.ppo.ray_trainer.RayPPOTrainer._save_checkpoint", save)


def test_a_run_from_start_to_end(tmp_path: Path) -> None:
    """Validation, two steps, validation, checkpoints; the model is served exactly while rollouts run."""
    stage = Stage(tmp_path)
    stage.fit()
    assert [line["step"] for line in stage.metrics("validation")] == [0, 2]
    assert [line["step"] for line in stage.metrics("step")] == [1, 2]
    assert stage.saved == [1, 2]
    assert stage.async_rollout_manager.log == ["wake", "sleep"] * 4
    assert read_state(tmp_path / "checkpoints" / "global_step_2").tasks_consumed == 8


def test_numbers_of_a_step_by_hand(tmp_path: Path) -> None:
    """Four groups of two: two parts of two groups, 2 + 1 calls a group, and old log-probabilities before any update."""
    stage = Stage(tmp_path)
    stage.step()
    (line,) = stage.metrics("step")
    assert (line["rollouts"], line["groups"], line["rows"], line["optimiser_steps"]) == (8, 4, 12, 2)
    assert (line["reward"], line["dropped"], line["trained_tokens"]) == (0.5, 0, 24)
    assert line["entropy"] == pytest.approx(0.5)
    assert [len(batch) for batch in stage.actor_rollout_wg.updates] == [6, 6]
    # Rewards 0 and 1, sample deviation 0.70711: advantages -/+ 0.70711; calls 1 and 2, so weights 1, 0.5, 0.5.
    # Weighted tokens: 4 groups x (2 + 2 x 2 x 0.5) = 16, over 2 parts 8. VERL divides by 5 x (8 rows / 2) = 20.
    batch = stage.actor_rollout_wg.updates[0].batch
    first = sorted({round(value, 3) for value in batch["advantages"][:, 0].tolist()})
    assert first == pytest.approx([-0.70711 * 20 / 8, 0.70711 * 0.5 * 20 / 8], abs=1e-3)


def test_a_dropped_rollout_is_in_no_mean(tmp_path: Path) -> None:
    """The group goes on with what is left; nothing stands in for the lost one."""
    lost = (0, 0)
    stage = Stage(tmp_path, judge=lambda p: None if (p.group, p.sample) == lost else 1.0 - p.sample % 2)
    stage.step()
    (line,) = stage.metrics("step")
    assert (line["rollouts"], line["dropped"], line["drop_reasons"]) == (7, 1, {"broken": 1})
    assert line["reward"] == pytest.approx(3 / 7)
    assert line["rows"] == 9  # the first group has a single rollout left, which has nobody to be compared with
    assert line["zero_variance_share"] == 0.25


@pytest.mark.parametrize("judge", [lambda planned: 1.0, lambda planned: 0.0])
def test_a_batch_without_gradient_is_a_step_without_update(tmp_path: Path, judge: Judge) -> None:
    """Counted, saved, and the next step goes on."""
    stage = Stage(tmp_path, judge=judge)
    stage.fit()
    assert stage.actor_rollout_wg.updates == []
    assert [line["skipped_updates"] for line in stage.metrics("step")] == [1, 2]


def test_two_runs_with_one_seed_sample_the_same(tmp_path: Path) -> None:
    """Tasks, their order, and each rollout's seed; another seed differs."""
    plans = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        (tmp_path / name).mkdir()
        stage = Stage(tmp_path / name, settings=LitSql(seed=seed))
        stage.fit()
        plans.append([[(p.task, p.sample, p.seed) for p in plan] for plan in stage.daemon.plans])
    assert plans[0] == plans[1] != plans[2]


def test_a_resumed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    """The second step after a resume draws the tasks that the unbroken run drew."""
    whole = Stage(tmp_path)
    whole.fit()
    resumed = Stage(tmp_path)
    resumed.state = read_state(tmp_path / "checkpoints" / "global_step_1")
    resumed.saved_step = 1
    resumed.fit()
    rolled = [plan for plan in resumed.daemon.plans if len(plan) > 2]
    assert [[p.seed for p in plan] for plan in rolled] == [[p.seed for p in whole.daemon.plans[2]]]


def test_an_outage_stops_the_run_and_keeps_the_finished_steps(tmp_path: Path) -> None:
    """The error is the one with the reasons; the step before it is saved."""
    stage = Stage(tmp_path, judge=lambda p: None if p.group >= 4 else mixed(p), save_freq=50)
    with pytest.raises(FailureLimitError, match="broken"):
        stage.fit()
    assert stage.saved == [1]
    assert read_state(tmp_path / "checkpoints" / "global_step_1").step == 1


def test_a_dead_worker_stops_the_run_with_its_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray's error becomes one line that says what to do; the finished steps are saved."""
    stage = Stage(tmp_path, save_freq=50)

    def fail(batch: DataProto) -> DataProto:
        if stage.state.step == 1:
            raise ActorDiedError
        return Workers().update_actor(batch)

    monkeypatch.setattr(stage.actor_rollout_wg, "update_actor", fail)
    with pytest.raises(RunError, match=r"failed after step 1: .*\bactor\b"):
        stage.fit()
    assert stage.saved == [1]


def test_the_best_checkpoint_outlives_its_step(tmp_path: Path) -> None:
    """It is there, whole, after VERL removed the folder of the step."""
    stage = Stage(tmp_path, test_freq=1)
    levels = iter([0.0, 1.0, 0.0])
    stage.daemon.judge = lambda p: next(levels) if p.sample == 0 and p.group == 0 and not stage_trains(p) else mixed(p)
    stage.fit()
    best = tmp_path / "checkpoints" / "best"
    assert json.loads((best / "lit_sql_state.json").read_text())["step"] == 1
    step_file = tmp_path / "checkpoints" / "global_step_1" / "actor" / "model.pt"
    assert (best / "actor" / "model.pt").samefile(step_file)
    step_file.unlink()
    assert (best / "actor" / "model.pt").read_text() == "1"


def stage_trains(planned: PlannedRollout) -> bool:
    """Training rows have an id, validation rows a hardness."""
    return "task_id" in planned.row


def test_validation_only_trains_nothing(tmp_path: Path) -> None:
    """One validation line, no step, no checkpoint."""
    stage = Stage(tmp_path, val_only=True)
    stage.fit()
    assert len(stage.metrics("validation")) == 1
    assert stage.metrics("validation")[0]["hardness"] == {
        "easy": {"reward": 0.0, "rollouts": 1},
        "hard": {"reward": 0.0, "rollouts": 1},
    }
    assert (stage.metrics("step"), stage.saved) == ([], [])


def test_somebody_may_stop_it(tmp_path: Path) -> None:
    """The stop file ends the run after its step, with a checkpoint."""
    stage = Stage(tmp_path, save_freq=50)

    def judge(planned: PlannedRollout) -> float | None:
        if stage_trains(planned):
            stage.facts.stop_file.touch()
        return mixed(planned)

    stage.daemon.judge = judge
    stage.fit()
    assert [line["step"] for line in stage.metrics("step")] == [1]
    assert stage.saved == [1]


def test_patience_ends_a_run(tmp_path: Path) -> None:
    """Validations without a gain for so many steps, and no step more."""
    stage = Stage(tmp_path, settings=LitSql(early_stop_steps=3), test_freq=1)
    stage.total_training_steps = 50
    stage.fit()
    assert [line["step"] for line in stage.metrics("step")] == [1, 2, 3]
