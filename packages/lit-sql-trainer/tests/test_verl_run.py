"""`train qwen` and its like: who is refused and when, and what VERL is told when a run begins, goes on or validates."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from lit_sql_trainer import PROFILES, verl_config
from lit_sql_trainer.commands.train import train_main
from lit_sql_trainer.dryrun.stand_in import rehearsable
from lit_sql_trainer.errors import DataError, ModelError, RunError, SetupError
from lit_sql_trainer.machine import admission, environment
from lit_sql_trainer.machine.devices import Accelerator, Attention, attention_backend, find_gpus, find_npus
from lit_sql_trainer.models import last_checkpoint
from lit_sql_trainer.models.checkpoints import run_of
from lit_sql_trainer.preflight.subject import Subject
from lit_sql_trainer.preflight.surroundings import check_versions
from lit_sql_trainer.profile import LLAMA, NPU, QWEN, apply_assignments
from lit_sql_trainer.runs import RunFolder, append_line
from lit_sql_trainer.verl.back_end import announce, planned_steps, validating

LIST_MODULES = Path(__file__).parent / "programs" / "list_modules.py"
H100 = Accelerator(name="NVIDIA H100", memory_gib=80.0)


def train(*arguments: object) -> Result:
    return CliRunner().invoke(train_main, [str(argument) for argument in arguments])


# Refusals


def test_without_a_gpu_two_commands_that_work_are_named_within_seconds() -> None:
    """Exit code 2 and one line, before Agent-lightning or torch is imported."""
    heavy = "agentlightning,torch,transformers,verl,vllm,ray,langchain_core"
    command = [sys.executable, LIST_MODULES, heavy, "lit_sql_trainer.commands.train:train_main", "qwen"]
    nothing = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "RAY_ADDRESS": ""}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=nothing)
    assert (done.returncode, done.stdout) == (2, "[]\n"), done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("Error: no GPU found: this profile needs an NVIDIA GPU")
    assert "`train tiny`" in line
    assert "`train qwen --dev`" in line


def test_the_first_reason_is_the_one_that_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Unknown profile, setting, named data, token, accelerator: a machine that lacks them all names them in turn."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    absent = ("--data", tmp_path / "none")
    wrong = ("--set", "lr=x")
    for arguments, told in (
        (("lama", *wrong, *absent), "unknown profile 'lama'"),
        (("llama", *wrong, *absent), "expected a number"),
        (("llama", *absent), "no data folder"),
        (("llama",), "set HF_TOKEN"),
        (("llama", "--model", "Qwen/Qwen3-0.6B"), "no GPU found"),
    ):
        result = train(*arguments)
        assert result.exit_code == 2
        assert told in result.output
        assert len(result.output.strip().splitlines()) == 1


def test_a_token_may_come_from_anywhere(tmp_path: Path) -> None:
    """From the environment or a login; a folder and a free model need none."""
    assert LLAMA.model is not None
    home = {"HF_HOME": str(tmp_path)}
    with pytest.raises(ModelError, match="HF_TOKEN"):
        admission.check_token(LLAMA.model, home)
    admission.check_token(LLAMA.model, {**home, "HF_TOKEN": "hf_x"})
    admission.check_token(QWEN.model, home)
    admission.check_token(str(tmp_path), home)
    (tmp_path / "token").write_text("hf_x")
    admission.check_token(LLAMA.model, home)


def test_the_benchmark_that_is_not_there_is_named_with_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Last of all, because a machine without a GPU need not download it."""
    monkeypatch.chdir(tmp_path)
    admission.check_data_named(QWEN, QWEN.data)
    with pytest.raises(DataError, match="spider-data download data"):
        admission.check_data_default(QWEN)
    admission.check_data_default(PROFILES["fast"])


@pytest.mark.parametrize(
    ("settings", "gpus", "environment", "modules", "told"),
    [
        ([], [], {}, (), "no GPU found"),
        (["n_gpus_per_node=2"], [H100], {}, (), "2 GPUs per node are wanted, this machine has 1 (NVIDIA H100)"),
        (["nnodes=2"], [H100], {}, (), "2 nodes need a Ray cluster"),
        (
            [],
            [H100],
            {},
            ("torch",),
            "verl, vllm cannot be imported: run `uv run --package",
        ),
        ([], [H100], {}, admission.STACK, ""),
        (["nnodes=2"], [], {"RAY_ADDRESS": "auto"}, admission.STACK, ""),
    ],
)
def test_what_a_machine_lacks_is_named(
    settings: list[str], gpus: list[Accelerator], environment: Mapping[str, str], modules: tuple[str, ...], told: str
) -> None:
    """Accelerators of this machine, unless a Ray cluster brings them; then the packages."""

    def look() -> None:
        admission.check_accelerator(
            apply_assignments(QWEN, settings),
            gpus=lambda: gpus,
            has_module=lambda name: name in modules,
            environment=environment,
        )

    if not told:
        look()
        return
    with pytest.raises(SetupError) as caught:
        look()
    assert told in str(caught.value)


def test_an_npu_is_another_machine() -> None:
    """A GPU does not help, and torch_npu is looked for."""
    with pytest.raises(SetupError, match="no Ascend NPU found"):
        admission.check_accelerator(NPU, gpus=lambda: [H100], npus=list, environment={})
    with pytest.raises(SetupError, match="torch_npu cannot be imported"):
        admission.check_accelerator(
            NPU, npus=lambda: [H100], has_module=lambda name: name in admission.STACK, environment={}
        )


def test_gpus_are_counted_without_torch(tmp_path: Path) -> None:
    """By the vendor's tool, else by the driver's device files; CUDA_VISIBLE_DEVICES hides some or all."""
    told = "NVIDIA A100-SXM4-40GB, 40960\nNVIDIA A100-SXM4-40GB, 40960\n"
    (first, second) = find_gpus({}, devices=tmp_path, probe=lambda *_: told)
    assert first == second == Accelerator(name="NVIDIA A100-SXM4-40GB", memory_gib=40.0)
    assert len(find_gpus({"CUDA_VISIBLE_DEVICES": "1"}, devices=tmp_path, probe=lambda *_: told)) == 1
    assert find_gpus({"CUDA_VISIBLE_DEVICES": ""}, devices=tmp_path, probe=lambda *_: told) == []
    assert find_gpus({}, devices=tmp_path, probe=lambda *_: "") == []
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "davinci0", "davinci_manager"):
        (tmp_path / name).touch()
    assert [gpu.name for gpu in find_gpus({}, devices=tmp_path, probe=lambda *_: "")] == ["nvidia0", "nvidia1"]
    assert [npu.name for npu in find_npus(devices=tmp_path)] == ["davinci0"]


def test_attention_is_what_is_installed() -> None:
    """And what is lost without it is said."""
    assert attention_backend(lambda name: name == "flash_attn") is Attention.FLASH
    assert attention_backend(lambda name: False) is Attention.SDPA
    assert "padding is computed too" in Attention.SDPA.meaning


@pytest.mark.parametrize(("attention", "level"), [(Attention.FLASH, "pass"), (Attention.SDPA, "warn")])
def test_the_preflight_says_which_attention_is_in_use(
    attention: Attention, level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where VERL trains; the local algorithm has no choice."""
    monkeypatch.setattr(environment, "attention_backend", lambda: attention)
    (found,) = [finding for finding in check_versions(Subject(profile=QWEN)) if finding.what == "attention"]
    assert (found.level.value, found.found) == (level, attention.meaning)
    assert not [each for each in check_versions(Subject(profile=PROFILES["tiny"])) if each.what == "attention"]


# Dry runs


def test_a_dry_run_of_any_profile_plays_here(tmp_path: Path) -> None:
    """The tiny model and the embedded benchmark stand in; a named model, an endpoint or a GPU take its place."""
    played, said = rehearsable(QWEN, endpoint=None, has_gpu=False)
    assert (played.model, played.data, played.rollout) == (None, None, PROFILES["tiny"].rollout)
    assert "the tiny model stands in for Qwen/Qwen2.5-Coder-1.5B-Instruct" in said
    assert "embedded benchmark" in said
    asked, _ = rehearsable(QWEN, endpoint="http://x/v1", has_gpu=False)
    assert (asked.model, asked.rollout) == (None, QWEN.rollout)
    named, _ = rehearsable(replace(QWEN, model="org/other"), endpoint=None, has_gpu=False)
    assert (named.model, named.rollout, named.local.device) == ("org/other", QWEN.rollout, "cpu")
    on_gpu, _ = rehearsable(replace(QWEN, data=tmp_path), endpoint=None, has_gpu=True)
    assert (on_gpu.model, on_gpu.data, on_gpu.local.device) == (QWEN.model, tmp_path, "cuda")
    assert on_gpu.local.context_tokens == 4096 + 2048
    assert rehearsable(PROFILES["tiny"], endpoint=None) == (PROFILES["tiny"], "")
    with pytest.raises(DataError):
        rehearsable(replace(QWEN, data=tmp_path / "none"), endpoint=None)


# Runs


def step_line(step: int, *, reward: float) -> dict[str, Any]:
    """What the trainer writes after a step, as far as anybody reads it."""
    seconds = dict.fromkeys(("seconds", "seconds_rollout", "seconds_update"), 1.0)
    return {"event": "step", "step": step, "reward": reward, "outcomes": {"match": 1}, **seconds}


class Vero:
    """Stands where VERL would train: remembers what it was told and leaves a checkpoint."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.step = 0
        self.interrupted = False

    def __call__(self, profile: Any, *, config: dict[str, Any], run: RunFolder, **others: Any) -> None:
        self.told.append(config)
        if others["interrupt"] is not None and self.interrupted:
            others["interrupt"].requested = True
        if config["trainer"].get("val_only"):
            append_line(run.metrics_file, {"event": "validation", "step": self.step, "reward": 0.5, "rollouts": 12})
            return
        self.step += 1
        append_line(run.metrics_file, step_line(self.step, reward=0.1))
        (run.checkpoints / f"global_step_{self.step}").mkdir()
        (run.checkpoints / "latest_checkpointed_iteration.txt").write_text(str(self.step))


@pytest.fixture
def vero(monkeypatch: pytest.MonkeyPatch) -> Vero:
    """VERL's place taken, on a machine that lacks nothing."""
    from lit_sql_trainer.verl import back_end

    stand_in = Vero()
    monkeypatch.setattr(back_end, "train_with_verl", stand_in)
    monkeypatch.setattr(admission, "check_accelerator", lambda profile: None)
    return stand_in


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder that has every part of a model; nobody loads it here."""
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"):
        (folder / name).write_text("{}")
    return folder


def started(vero: Vero, toy_data: Path, model: Path, runs: Path, *more: object) -> Result:
    options = ("--data", toy_data, "--model", model, "--runs", runs, "--name", "r1", "--set", "train_batch_size=4")
    return train("qwen", *options, "--set", "ppo_mini_batch_size=4", *more)


def test_a_run_tells_verl_where_and_what(
    vero: Vero, toy_data: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Data, model, folder and name are the run's; project and experiment are printed and left for a workflow."""
    output = tmp_path / "output"
    monkeypatch.setenv("GITHUB_OUTPUT", str(output))
    result = started(vero, toy_data, model, tmp_path, "--set", "logger=tensorboard")
    assert result.exit_code == 0, result.output
    (config,) = vero.told
    trainer, data = config["trainer"], config["data"]
    assert trainer["default_local_dir"] == str(tmp_path / "r1" / "checkpoints")
    assert (trainer["experiment_name"], trainer["resume_mode"]) == ("r1", "disable")
    assert trainer["logger"] == ["console", "tensorboard"]
    assert (data["train_files"], data["val_files"]) == (
        str(toy_data / "train.parquet"),
        str(toy_data / "validation.parquet"),
    )
    assert config["actor_rollout_ref"]["model"]["path"] == str(model)
    assert config["lit_sql"]["keep_best"] is True
    for line in ("project_name=AgentLightning", "experiment_name=r1"):
        assert line in result.output
        assert line in output.read_text().splitlines()
    written = json.loads((tmp_path / "r1" / "config.json").read_text())
    assert written["verl"]["data"]["train_batch_size"] == 4
    assert written["grpo"] is None


def test_without_a_name_a_run_carries_time_and_commit(vero: Vero, toy_data: Path, model: Path, tmp_path: Path) -> None:
    """So that two runs never share a name, nor VERL's folder."""
    options = ("--data", toy_data, "--model", model, "--runs", tmp_path, "--set", "train_batch_size=4")
    assert train("qwen", *options, "--set", "ppo_mini_batch_size=4").exit_code == 0
    experiment = vero.told[0]["trainer"]["experiment_name"]
    assert experiment.startswith("qwen-20")
    assert (tmp_path / experiment).is_dir()


def test_a_run_goes_on_from_its_last_whole_checkpoint(vero: Vero, toy_data: Path, model: Path, tmp_path: Path) -> None:
    """Under its own settings; later lines are forgotten; one checkpoint may be named."""
    started(vero, toy_data, model, tmp_path)
    checkpoints = tmp_path / "r1" / "checkpoints"
    append_line(tmp_path / "r1" / "metrics.jsonl", step_line(2, reward=0.9))  # killed before its checkpoint
    assert train("qwen", "--resume", "r1", "--runs", tmp_path).exit_code == 0
    resumed = vero.told[1]
    assert resumed["trainer"]["resume_mode"] == "resume_path"
    assert resumed["trainer"]["resume_from_path"].endswith("r1/checkpoints/global_step_1")
    assert resumed["data"]["train_batch_size"] == 4
    lines = [json.loads(line) for line in (tmp_path / "r1" / "metrics.jsonl").read_text().splitlines()]
    assert [(line["step"], line["reward"]) for line in lines if line["event"] == "step"] == [(1, 0.1), (2, 0.1)]
    assert train("qwen", "--resume", checkpoints / "global_step_1", "--runs", tmp_path).exit_code == 0
    assert vero.told[2]["trainer"]["resume_from_path"].endswith("global_step_1")


def test_a_checkpoint_is_validated_and_nothing_forgotten(
    vero: Vero, toy_data: Path, model: Path, tmp_path: Path
) -> None:
    """`--resume RUN --set val_only=true`; any other setting beside --resume is refused."""
    started(vero, toy_data, model, tmp_path)
    before = (tmp_path / "r1" / "metrics.jsonl").read_text()
    result = train("qwen", "--resume", "r1", "--runs", tmp_path, "--set", "val_only=true")
    assert result.exit_code == 0, result.output
    trainer = vero.told[1]["trainer"]
    assert (trainer["val_only"], trainer["val_before_train"], trainer["resume_mode"]) == (True, True, "resume_path")
    after = (tmp_path / "r1" / "metrics.jsonl").read_text()
    assert after.startswith(before)
    assert len(after.splitlines()) == len(before.splitlines()) + 1
    refused = train("qwen", "--resume", "r1", "--runs", tmp_path, "--set", "val_only=true", "--set", "lr=1")
    assert refused.exit_code == 2
    assert "only val_only=true" in refused.output


def test_why_a_run_ended_is_said_and_written(vero: Vero, toy_data: Path, model: Path, tmp_path: Path) -> None:
    """All steps done, early for lack of gain, or stopped: then with the line that goes on, and exit code 130."""
    done = started(vero, toy_data, model, tmp_path, "--set", "total_training_steps=1")
    assert done.exit_code == 0
    assert "done: checkpoints in" in done.output
    vero.step, vero.interrupted = 0, False
    early = started(vero, toy_data, model, tmp_path / "b", "--set", "early_stop_steps=7")
    assert early.exit_code == 0
    assert "ended early after step 1: validation gained nothing for 7 steps" in early.output
    vero.step, vero.interrupted = 0, True
    stopped = started(vero, toy_data, model, tmp_path / "c")
    assert stopped.exit_code == 130
    assert f"train qwen --resume {tmp_path / 'c' / 'r1'}" in stopped.output
    ends = [RunFolder(path=tmp_path / part / "r1").metrics()[-1] for part in ("", "b", "c")]
    assert [end["event"] for end in ends] == ["end"] * 3
    assert len({end["reason"] for end in ends}) == 3


def test_a_run_without_a_checkpoint_is_not_resumed(vero: Vero, toy_data: Path, model: Path, tmp_path: Path) -> None:
    """It would begin again under another name."""
    started(vero, toy_data, model, tmp_path)
    (tmp_path / "r1" / "checkpoints" / "latest_checkpointed_iteration.txt").unlink()
    result = train("qwen", "--resume", "r1", "--runs", tmp_path)
    assert result.exit_code == 2
    assert "has no complete checkpoint" in result.output


def test_checkpoints_are_found(tmp_path: Path) -> None:
    """Only whole ones, and only in a run folder."""
    assert last_checkpoint(tmp_path) is None
    (tmp_path / "latest_checkpointed_iteration.txt").write_text("7")
    assert last_checkpoint(tmp_path) is None
    (tmp_path / "global_step_7").mkdir()
    found = last_checkpoint(tmp_path)
    assert found is not None
    assert (found.step, found.path) == (7, tmp_path / "global_step_7")
    assert run_of(tmp_path) == (tmp_path, None)
    with pytest.raises(RunError, match="lies in no run folder"):
        run_of(tmp_path / "global_step_7")
    with pytest.raises(RunError, match="there: global_step_7"):
        run_of(tmp_path / "global_step_8")


def test_steps_are_counted_as_verl_counts_them() -> None:
    """Whole batches of each epoch, unless a number of steps is set."""
    assert planned_steps(QWEN, 6990) == 436  # the tutorial's number, with its 2 epochs
    assert planned_steps(apply_assignments(QWEN, ["total_training_steps=3"]), 6990) == 3
    assert planned_steps(validating(QWEN), 6990) == 0


def test_project_and_experiment_without_a_workflow() -> None:
    """Are only printed."""
    assert announce(verl_config(QWEN), {}) == ["project_name=AgentLightning", "experiment_name=qwen"]
