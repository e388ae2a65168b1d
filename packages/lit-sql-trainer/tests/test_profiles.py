"""Each profile says what it promises: the tutorial's values where the tutorial states them, reasons where not."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lit_sql_trainer import PROFILES, RL_TRAINING_CONFIG, Profile, verl_config
from lit_sql_trainer.errors import ConfigError
from lit_sql_trainer.profile import (
    QWEN,
    TINY,
    Backend,
    GrpoSettings,
    VerlSettings,
    apply_assignments,
    assignments,
    from_plain,
    to_plain,
)
from lit_sql_trainer.profile.verl_keys import flattened

HERE = Path(__file__).parent
SNAPSHOTS = HERE / "snapshots"
PAGE = HERE.parents[2] / "docs" / "training.md"
WITH_VERL = [profile for profile in PROFILES.values() if profile.backend is Backend.VERL]
RUN_KEYS = ("trainer.experiment_name", "trainer.resume_mode", "actor_rollout_ref.model.path")
"""Written for every run by itself: its name, its start and its model."""

TUTORIAL: dict[str, Any] = {
    # RL_TRAINING_CONFIG of examples/spider/train_sql_agent.py in microsoft/agent-lightning, v0.3.0, key by key.
    "algorithm.adv_estimator": "grpo",
    "algorithm.use_kl_in_reward": False,
    "data.train_batch_size": 32,
    "data.max_prompt_length": 4096,
    "data.max_response_length": 2048,
    "data.truncation": "error",
    "actor_rollout_ref.rollout.tensor_model_parallel_size": 1,
    "actor_rollout_ref.rollout.n": 4,
    "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu": 4,
    "actor_rollout_ref.rollout.multi_turn.format": "hermes",
    "actor_rollout_ref.rollout.name": "vllm",
    "actor_rollout_ref.rollout.gpu_memory_utilization": 0.8,
    "actor_rollout_ref.rollout.engine_kwargs.vllm.enable_auto_tool_choice": True,
    "actor_rollout_ref.rollout.engine_kwargs.vllm.tool_call_parser": "hermes",
    "actor_rollout_ref.actor.ppo_mini_batch_size": 32,
    "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu": 4,
    "actor_rollout_ref.actor.optim.lr": 1e-6,
    "actor_rollout_ref.actor.use_kl_loss": False,
    "actor_rollout_ref.actor.kl_loss_coef": 0.0,
    "actor_rollout_ref.actor.entropy_coeff": 0,
    "actor_rollout_ref.actor.clip_ratio_low": 0.2,
    "actor_rollout_ref.actor.clip_ratio_high": 0.3,
    "actor_rollout_ref.actor.fsdp_config.param_offload": True,
    "actor_rollout_ref.actor.fsdp_config.optimizer_offload": True,
    "actor_rollout_ref.ref.log_prob_micro_batch_size_per_gpu": 8,
    "actor_rollout_ref.ref.fsdp_config.param_offload": True,
    "actor_rollout_ref.model.path": "Qwen/Qwen2.5-Coder-1.5B-Instruct",
    "actor_rollout_ref.model.use_remove_padding": True,
    "actor_rollout_ref.model.enable_gradient_checkpointing": True,
    "trainer.n_gpus_per_node": 1,
    "trainer.val_before_train": True,
    "trainer.critic_warmup": 0,
    "trainer.logger": ["console", "wandb"],
    "trainer.project_name": "AgentLightning",
    "trainer.nnodes": 1,
    "trainer.test_freq": 32,
    "trainer.total_epochs": 2,
}


def of(profile: Profile) -> dict[str, Any]:
    """What VERL is told of a profile, without what each run decides."""
    return {path: value for path, value in flattened(verl_config(profile)).items() if path not in RUN_KEYS}


def tutorial() -> dict[str, Any]:
    """The values that a profile has which changes nothing."""
    return of(replace(QWEN, verl=VerlSettings(), data=None))


def test_an_unchanged_profile_is_the_tutorial() -> None:
    """Every key that the tutorial states has its value, and nothing else is written but our own section."""
    config = flattened(verl_config(replace(QWEN, verl=VerlSettings(), data=None)))
    written = {path: value for path, value in config.items() if not path.startswith("lit_sql.")}
    del written["trainer.experiment_name"], written["trainer.resume_mode"]
    assert written == TUTORIAL


def test_the_tutorials_dictionary_is_there_by_its_name() -> None:
    """`RL_TRAINING_CONFIG` is what `train qwen` uses: the tutorial's model and sizes, no account, checkpoints."""
    flat = flattened(RL_TRAINING_CONFIG)
    stated = {path: value for path, value in TUTORIAL.items() if path != "trainer.logger"}
    assert {path: flat[path] for path in stated} == stated
    assert flat["trainer.logger"] == ["console"]
    assert flat["trainer.save_freq"] > 0


@pytest.mark.parametrize("profile", WITH_VERL, ids=lambda profile: profile.name)
def test_snapshot(profile: Profile) -> None:
    """What VERL is told, to the last key. A change of it is a change of training: look, then write the file again with

    python packages/lit-sql-trainer/tests/test_profiles.py
    """
    file = SNAPSHOTS / f"{profile.name}.json"
    assert json.loads(file.read_text(encoding="utf-8")) == verl_config(profile)


def rows(page: str) -> dict[str, dict[str, str]]:
    """Profile → key → value of the table of differences in the documentation."""
    found: dict[str, dict[str, str]] = {}
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        if len(cells) == 5 and cells[0].startswith("`") and re.search(r"`[a-z0-9-]+`", cells[3]):
            for name in re.findall(r"`([a-z0-9-]+)`", cells[3]):
                assert cells[4], f"no reason for {cells[0]}"
                found.setdefault(name, {})[cells[0].strip("`")] = cells[2].strip("`")
    return found


@pytest.mark.parametrize("profile", WITH_VERL, ids=lambda profile: profile.name)
def test_every_difference_is_listed_with_its_reason(profile: Profile) -> None:
    """The documentation's table names exactly the keys in which a profile differs, with the value that it has."""
    listed = rows(PAGE.read_text(encoding="utf-8")).get(profile.name, {})
    ours, theirs = of(profile), tutorial()
    differing = {path: value for path, (value, _) in differences(ours, theirs).items()}
    for path in [path for path in differing if path.startswith("actor_rollout_ref.rollout.engine_kwargs.vllm")]:
        del differing[path]  # told as one row: they are left out together, or the parser is another
        differing.setdefault("actor_rollout_ref.rollout.engine_kwargs.vllm", None)
    local = differences(to_plain(profile.rollout), to_plain(QWEN.rollout))
    differing |= {f"rollout.{name}": value for name, (value, _) in local.items()}
    assert set(listed) == set(differing)
    for path, value in differing.items():
        if value is not None:
            assert listed[path] == (value if isinstance(value, str) else json.dumps(value)), path


def test_the_tutorials_profiles_are_the_tutorials() -> None:
    """Models, and the few values in which `fast`, `llama` and `npu` differ from `qwen` in the example itself."""
    fast, llama, npu = (flattened(verl_config(PROFILES[name])) for name in ("fast", "llama", "npu"))
    assert fast["actor_rollout_ref.model.path"] == "Qwen/Qwen2.5-Coder-0.5B-Instruct"
    assert (fast["trainer.total_epochs"], fast["trainer.total_training_steps"], fast["trainer.test_freq"]) == (1, 1, 1)
    assert fast["actor_rollout_ref.rollout.gpu_memory_utilization"] == 0.6
    assert fast["trainer.project_name"] == "AgentLightningCI"
    assert llama["actor_rollout_ref.model.path"] == "meta-llama/Llama-3.2-1B-Instruct"
    assert llama["actor_rollout_ref.rollout.multi_turn.format"] == "llama3_json"
    assert llama["actor_rollout_ref.rollout.engine_kwargs.vllm.tool_call_parser"] == "llama3_json"
    assert npu["trainer.device"] == "npu"
    assert npu["actor_rollout_ref.actor.use_torch_compile"] is False
    assert npu["trainer.val_before_train"] is False
    assert npu["trainer.save_freq"] == 256
    assert "actor_rollout_ref.rollout.engine_kwargs.vllm.tool_call_parser" not in npu


@pytest.mark.parametrize("profile", WITH_VERL, ids=lambda profile: profile.name)
def test_no_account_is_needed_and_no_work_is_lost(profile: Profile) -> None:
    """Checkpoints are saved and bounded, the console is the only logger, validation is a split of its own."""
    settings = profile.gpu
    assert verl_config(profile)["trainer"]["logger"] == ["console"]
    assert settings.trainer.save_freq
    assert settings.trainer.save_freq <= 256
    assert settings.trainer.max_actor_ckpt_to_keep == 2
    assert settings.lit_sql.keep_best
    files = verl_config(profile, data=Path("spider"))["data"]
    assert files["train_files"] == "spider/train.parquet"
    assert files["val_files"] == "spider/validation.parquet"


@pytest.mark.parametrize("name", ["qwen-24gb", "qwen-40gb", "qwen-80gb"])
def test_what_we_recommend(name: str) -> None:
    """16 questions x 8 rollouts, refill up to twice, early stop after three validations, deterministic check."""
    profile = PROFILES[name]
    settings = profile.gpu
    assert (settings.data.train_batch_size, settings.actor_rollout_ref.rollout.n) == (16, 8)
    assert settings.actor_rollout_ref.actor.ppo_mini_batch_size == settings.data.train_batch_size
    assert settings.lit_sql.refill_factor == 2.0
    assert settings.lit_sql.early_stop_steps == 3 * settings.trainer.test_freq
    assert profile.rollout.check == "rules"


def test_lora_on_24_gb_samples_from_what_it_trains() -> None:
    """VERL's server answers Agent-lightning's requests without the adapter, so the hook must be loaded."""
    model = verl_config(PROFILES["qwen-24gb"])["actor_rollout_ref"]["model"]
    assert model["lora_rank"] == 32
    assert model["external_lib"] == "lit_sql_trainer.verl.lora_hook"
    assert "external_lib" not in verl_config(PROFILES["qwen-40gb"])["actor_rollout_ref"]["model"]


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_a_profile_survives_print_and_json(profile: Profile) -> None:
    """Also with a key that only VERL knows."""
    if profile.verl is not None:
        profile = apply_assignments(profile, ["verl.actor_rollout_ref.rollout.top_p=0.9", "verl.trainer.logger=wandb"])
    assert apply_assignments(PROFILES[profile.name], assignments(profile)) == profile
    assert from_plain(Profile, json.loads(json.dumps(to_plain(profile)))) == profile


def test_one_algorithm_trains() -> None:
    """A profile has the settings of one algorithm; the other's are refused by name."""
    with pytest.raises(ConfigError, match="either grpo or verl"):
        replace(QWEN, grpo=GrpoSettings())
    with pytest.raises(ConfigError, match="either grpo or verl"):
        replace(TINY, grpo=None)
    with pytest.raises(ConfigError, match=r"has no settings grpo"):
        _ = QWEN.local
    with pytest.raises(ConfigError, match=r"has no settings verl"):
        _ = TINY.gpu


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("rollout.max_tokens=4096", "rollout.max_tokens=4096 is more than verl.data.max_response_length=2048"),
        ("max_prompt_length=512", "rollout.prompt_budget_tokens=3584 is more than verl.data.max_prompt_length=512"),
        ("verl.lit_sql.rollout_timeout_s=60", "given up after verl.lit_sql.rollout_timeout_s=60"),
        ("refill_factor=3", "--set verl.lit_sql.refill_factor=3.0: expected a number between 1 and 2"),
        ("early_stop_steps=0", "--set verl.lit_sql.early_stop_steps=0: expected a whole number of at least 1, or none"),
        ("runner_timeout_s=10", "--set verl.lit_sql.runner_timeout_s=10.0: expected a number of at least 20"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(setting: str, told: str) -> None:
    """Before anything is loaded."""
    with pytest.raises(ConfigError) as caught:
        apply_assignments(QWEN, [setting])
    assert told in str(caught.value)


if __name__ == "__main__":
    for each in WITH_VERL:
        text = json.dumps(verl_config(each), indent=2) + "\n"
        (SNAPSHOTS / f"{each.name}.json").write_text(text, encoding="utf-8")


def differences(config: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[object, object]]:
    """Dotted keys whose values differ, with both values; None stands for a key that is absent."""
    ours, theirs = flattened(config), flattened(other)
    both = {path: (ours.get(path), theirs.get(path)) for path in (*ours, *theirs)}
    return {path: values for path, values in both.items() if values[0] != values[1]}
