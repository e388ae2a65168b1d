"""What a run adds to VERL's dictionary, and what is refused before anything is loaded."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from lit_sql_trainer.commands.train import train_main
from lit_sql_trainer.errors import ConfigError
from lit_sql_trainer.profile import from_plain
from lit_sql_trainer.runs import RunFolder
from lit_sql_trainer.verl.config import check_sizes, run_config
from lit_sql_trainer.verl.relay import RunFacts

IMPORT_MODULES = Path(__file__).parents[1] / "programs" / "import_modules.py"

CONFIG: dict[str, Any] = {
    "algorithm": {"adv_estimator": "grpo"},
    "data": {"train_batch_size": 4, "max_prompt_length": 64, "max_response_length": 32},
    "actor_rollout_ref": {
        "rollout": {"n": 2},
        "actor": {"ppo_mini_batch_size": 4, "ppo_micro_batch_size_per_gpu": 2},
    },
    "trainer": {"n_gpus_per_node": 1, "nnodes": 1, "resume_mode": "disable"},
}


def composed(folder: Path, **trainer: Any) -> dict[str, Any]:
    config = {**CONFIG, "trainer": {**CONFIG["trainer"], **trainer}}
    facts = RunFacts(folder=folder, max_calls=3)
    return run_config(config, run=RunFolder(path=folder), model="some/model", facts=facts)


def test_a_run_says_where_it_is_and_what_it_trains(tmp_path: Path) -> None:
    """Model, checkpoints, and the facts that come back as they were; the dictionary given is untouched."""
    config = composed(tmp_path)
    assert config["actor_rollout_ref"]["model"]["path"] == "some/model"
    assert config["trainer"]["default_local_dir"] == str(tmp_path / "checkpoints")
    assert from_plain(RunFacts, config["lit_sql_run"]) == RunFacts(folder=tmp_path, max_calls=3)
    assert "path" not in CONFIG["actor_rollout_ref"].get("model", {})


def test_what_is_resumed_is_said_once(tmp_path: Path) -> None:
    """Who says that nothing is resumed, or names a checkpoint, is believed; who says nothing goes on in the folder."""
    assert composed(tmp_path)["trainer"]["resume_mode"] == "disable"
    silent = {**CONFIG, "trainer": {"n_gpus_per_node": 1, "nnodes": 1}}
    facts = RunFacts(folder=tmp_path, max_calls=3)
    config = run_config(silent, run=RunFolder(path=tmp_path), model="some/model", facts=facts)
    assert config["trainer"]["resume_mode"] == "auto"
    config = composed(tmp_path, resume_mode="resume_path", resume_from_path="/x/global_step_3")
    assert config["trainer"]["resume_mode"] == "resume_path"


def test_too_few_tasks_are_refused(tmp_path: Path) -> None:
    """VERL would end with an assertion on an empty loader."""
    with pytest.raises(ConfigError, match="3 training tasks are fewer than"):
        check_sizes(composed(tmp_path), train_tasks=3)
    check_sizes(composed(tmp_path), train_tasks=4)


def test_the_arithmetic_needs_neither_torch_nor_verl() -> None:
    """Importing it pulls none of the GPU stack nor the library."""
    modules = [f"lit_sql_trainer.verl.{name}" for name in ("launch", "plan", "relay", "rows", "state")]
    command = [sys.executable, IMPORT_MODULES, "torch,verl,vllm,ray,agentlightning", *modules]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["tiny", "--cpu-proof"], "brings its own model, data and settings"),
        (["fast", "--cpu-proof", "--dev"], "brings its own model, data and settings"),
        (["fast", "--cpu-proof", "--set", "seed=1"], "brings its own model, data and settings"),
    ],
)
def test_the_proof_takes_no_other_options(arguments: list[str], said: str) -> None:
    """What would be ignored is refused."""
    result = CliRunner().invoke(train_main, arguments)
    assert result.exit_code == 2
    assert said in result.output


@pytest.mark.skipif(importlib.util.find_spec("verl") is not None, reason="the environment of the proof is installed")
def test_without_its_environment_the_proof_says_what_to_install(tmp_path: Path) -> None:
    """At once, with exit code 2, and no run folder is made."""
    result = CliRunner().invoke(train_main, ["fast", "--cpu-proof", "--runs", str(tmp_path / "runs")])
    assert result.exit_code == 2
    assert "--group proof" in result.output
    assert not (tmp_path / "runs").exists()
