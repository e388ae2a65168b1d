"""Every key for VERL is one that VERL reads, and what is set reaches it."""

from __future__ import annotations

import asyncio
import importlib.util
import runpy
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from lit_sql_trainer import PROFILES, verl_config
from lit_sql_trainer.errors import ConfigError, RunError
from lit_sql_trainer.machine.devices import Attention
from lit_sql_trainer.profile import QWEN, Backend, apply_assignments
from lit_sql_trainer.profile.verl_keys import (
    KnownKeys,
    flattened,
    read_number,
    read_value,
    recorded_keys,
)
from lit_sql_trainer.verl.config import check_config
from lit_sql_trainer.verl.lora import name_adapter, refuse_empty

WITH_VERL = [profile for profile in PROFILES.values() if profile.backend is Backend.VERL]
needs_verl = pytest.mark.skipif(
    importlib.util.find_spec("verl") is None, reason="VERL is not installed (dependency group `app` or `proof`)"
)


def composed_keys() -> KnownKeys:
    """The keys of the installed VERL, by the script that records them."""
    return runpy.run_path(str(Path(__file__).parents[3] / "scripts" / "record_verl_keys.py"))["composed_keys"]()


@pytest.mark.parametrize("profile", WITH_VERL, ids=lambda profile: profile.name)
@pytest.mark.parametrize("attention", Attention)
def test_verl_reads_every_key(profile: Any, attention: Attention) -> None:
    """In a run as it is started: with data, folders, a checkpoint to go on from, and either attention."""
    config = verl_config(
        profile,
        data=Path("spider"),
        experiment="x",
        checkpoints=Path("runs/x/checkpoints"),
        resume_from=Path("runs/x/checkpoints/global_step_3"),
        attention=attention,
    )
    check_config(config)


@needs_verl
@pytest.mark.parametrize("profile", WITH_VERL, ids=lambda profile: profile.name)
def test_the_installed_verl_reads_every_key(profile: Any) -> None:
    """Also when its version is not the recorded one."""
    check_config(verl_config(profile), composed_keys())


@needs_verl
def test_the_recorded_keys_are_those_of_their_version() -> None:
    """`scripts/record_verl_keys.py` writes them again; a key that left or came is seen here."""
    recorded, composed = recorded_keys(), composed_keys()
    if composed.versions != recorded.versions:
        pytest.skip(f"recorded from {recorded.source}, installed are {composed.source}")
    assert recorded.defaults == composed.defaults


def test_the_list_is_of_the_versions_that_are_pinned() -> None:
    """Another pin wants another list."""
    pins = (Path(__file__).parents[3] / "apps" / "train" / "pyproject.toml").read_text(encoding="utf-8")
    ours = (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    assert f'"verl=={recorded_keys().versions["verl"]}"' in pins
    assert f'"agentlightning=={recorded_keys().versions["agentlightning"]}"' in ours
    assert len(recorded_keys().defaults) > 500


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("actor_rollout_ref.actor.optim.learning_rate", "actor_rollout_ref.actor.optim"),
        ("trainer.save_frequency", "trainer.save_freq"),
        ("data.train_batchsize", "data.train_batch_size"),
    ],
)
def test_a_key_that_verl_does_not_read_is_refused(path: str, told: str) -> None:
    """VERL itself would take it and train with its default."""
    config = verl_config(QWEN)
    *parents, leaf = path.split(".")
    part = config
    for name in parents:
        part = part[name]
    part[leaf] = 1
    with pytest.raises(ConfigError) as caught:
        check_config(config, recorded_keys())
    assert f"VERL reads no key {path!r} (verl 0.7.0" in str(caught.value)
    assert told in str(caught.value).partition("did you mean")[2]


def test_keys_below_an_open_part_are_somebody_elses() -> None:
    """vLLM's arguments and a model's own configuration are not VERL's to know; everything else is."""
    keys = KnownKeys(versions={"verl": "0"}, defaults={"a.b": {}, "a.c": 1, "d": None})
    assert [keys.knows(path) for path in ("a.b.x.y", "a.c", "d", "a.x", "a.c.x", "a", "d.x")] == [
        True, True, True, False, False, False, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("setting", "path", "value"),
    [
        ("lr=2e-6", "actor_rollout_ref.actor.optim.lr", 2e-6),
        ("optim.lr=2e-6", "actor_rollout_ref.actor.optim.lr", 2e-6),
        ("verl.actor_rollout_ref.actor.optim.lr=2e-6", "actor_rollout_ref.actor.optim.lr", 2e-6),
        ("nnodes=2", "trainer.nnodes", 2),
        ("n=8", "actor_rollout_ref.rollout.n", 8),
        ("logger=wandb", "trainer.logger", ["console", "wandb"]),
        ("logger=tensorboard,mlflow", "trainer.logger", ["console", "tensorboard", "mlflow"]),
        ("logger=console", "trainer.logger", ["console"]),
        ("model=Qwen/Qwen3-0.6B", "actor_rollout_ref.model.path", "Qwen/Qwen3-0.6B"),
        ("verl.actor_rollout_ref.rollout.top_p=0.9", "actor_rollout_ref.rollout.top_p", 0.9),
        ("verl.actor_rollout_ref.rollout.enforce_eager=true", "actor_rollout_ref.rollout.enforce_eager", True),
        ("verl.actor_rollout_ref.rollout.enable_sleep_mode=no", "actor_rollout_ref.rollout.enable_sleep_mode", False),
        ("verl.algorithm.kl_ctrl.kl_coef=1", "algorithm.kl_ctrl.kl_coef", 1),
        (
            "verl.actor_rollout_ref.rollout.engine_kwargs.vllm.swap_space=8",
            "actor_rollout_ref.rollout.engine_kwargs.vllm.swap_space",
            8,
        ),
    ],
)
def test_a_setting_reaches_verl(setting: str, path: str, value: object) -> None:
    """By the end of its name, or by VERL's whole path; with the type that VERL has there."""
    found = flattened(verl_config(apply_assignments(QWEN, [setting])))[path]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("verl.actor_rollout_ref.actor.optm.lr=1", "did you mean verl.actor_rollout_ref.actor.optim.lr"),
        ("verl.trainer.sav_freq=1", "verl.trainer.save_freq"),
        ("weight_decay=0.1", "verl.actor_rollout_ref.actor.optim.weight_decay"),
        ("steps=3", "setting 'steps' is one of grpo.*, which is not used here"),
        ("grpo.learning_rate=1", "is one of grpo.*, which is not used here"),
        ("lr=fast", "verl.actor_rollout_ref.actor.optim.lr='fast': expected a number"),
        ("logger=wand", "expected one of console, wandb, tensorboard, mlflow"),
        ("verl.actor_rollout_ref.rollout.top_k=few", "expected a number"),
        ("verl.actor_rollout_ref.model.path=x", "use --model"),
        ("verl.trainer.resume_mode=auto", "use --resume"),
        ("verl.trainer.default_local_dir=x", "use --runs"),
        ("param_offload=false", "ambiguous"),
    ],
)
def test_a_setting_that_verl_would_swallow_is_refused(setting: str, told: str) -> None:
    """With the nearest names, or with the option that decides it."""
    with pytest.raises(ConfigError) as caught:
        apply_assignments(QWEN, [setting])
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_verls_settings_are_refused_where_the_local_algorithm_trains() -> None:
    """And the reverse is refused above."""
    with pytest.raises(ConfigError, match=r"'lr' is one of verl\.\*, which is not used here"):
        apply_assignments(PROFILES["tiny"], ["lr=1"])


def test_without_flash_attention() -> None:
    """SDPA, padding kept, fewer rows at once; a choice that somebody made is left alone."""
    model = verl_config(QWEN, attention=Attention.SDPA)["actor_rollout_ref"]["model"]
    assert model["override_config"] == {"attn_implementation": "sdpa"}
    assert model["use_remove_padding"] is False
    parts = verl_config(QWEN, attention=Attention.SDPA)["actor_rollout_ref"]
    assert parts["actor"]["ppo_micro_batch_size_per_gpu"] == 1
    assert parts["rollout"]["log_prob_micro_batch_size_per_gpu"] == 4
    chosen = apply_assignments(QWEN, ["verl.actor_rollout_ref.model.override_config.attn_implementation=eager"])
    model = verl_config(chosen, attention=Attention.SDPA)["actor_rollout_ref"]["model"]
    assert model["override_config"] == {"attn_implementation": "eager"}
    assert "override_config" not in verl_config(QWEN, attention=Attention.FLASH)["actor_rollout_ref"]["model"]


def test_resuming_and_validating() -> None:
    """A run goes on only when it is told to; validating alone needs the first validation, which looks at the flag."""
    fresh = verl_config(QWEN)["trainer"]
    assert fresh["resume_mode"] == "disable"
    assert "resume_from_path" not in fresh
    resumed = verl_config(QWEN, resume_from=Path("c/global_step_64"))["trainer"]
    assert (resumed["resume_mode"], resumed["resume_from_path"]) == ("resume_path", "c/global_step_64")
    npu = apply_assignments(PROFILES["npu"], ["val_only=true"])
    assert verl_config(npu)["trainer"]["val_only"] is True
    assert verl_config(npu)["trainer"]["val_before_train"] is True


def test_local_profiles_have_no_dictionary() -> None:
    """`train tiny` does not use VERL."""
    with pytest.raises(ConfigError, match="trains with the local algorithm"):
        verl_config(PROFILES["tiny"])


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 1), ("1e-6", 1e-6), ("True", True), ("none", None), ("[1, 2]", [1, 2]), ('{"a": 1}', {"a": 1}), ("x", "x")],
)
def test_a_value_whose_type_nobody_knows(text: str, value: object) -> None:
    """Is read as JSON, or is text."""
    assert read_value(text) == value


def test_numbers() -> None:
    """Whole when written so."""
    assert (read_number("3"), read_number("3.5"), read_number("none")) == (3, 3.5, None)
    with pytest.raises(ValueError, match="few"):
        read_number("few")


class Engine:
    """What the hook needs of vLLM's engine."""

    def __init__(self, loaded: set[int]) -> None:
        self.loaded = loaded
        self.seen: list[Any] = []

    async def list_loras(self) -> set[int]:
        return self.loaded

    async def generate(
        self, prompt: str, sampling_params: Any, request_id: str, lora_request: Any = None, priority: int = 0
    ) -> AsyncIterator[str]:
        self.seen.append((lora_request, priority))
        for word in prompt.split():
            yield word


@pytest.mark.parametrize(
    ("loaded", "asked", "used"), [({123}, None, "ours"), (set(), None, None), ({123}, "other", "other")]
)
def test_requests_without_adapter_get_the_trained_one(loaded: set[int], asked: Any, used: Any) -> None:
    """As soon as the engine holds it; a request that names one keeps it, and everything else passes as it was."""

    class Patched(Engine):
        generate = Engine.generate

    for _ in range(2):  # twice changes nothing
        name_adapter(Patched, number=123, request=lambda: "ours")
    engine = Patched(loaded)

    async def ask() -> list[str]:
        return [word async for word in engine.generate("a b", None, "1", lora_request=asked, priority=7)]

    assert asyncio.run(ask()) == ["a", "b"]
    assert engine.seen == [(used, 7)]


def test_an_adapter_without_weights_is_refused() -> None:
    """What VERL gathers with a peft that names layers otherwise; whole models and full adapters pass as they were."""

    class Rollout:
        def __init__(self) -> None:
            self.loaded: list[Any] = []

        async def update_weights(self, weights: Any, **options: Any) -> None:
            self.loaded.append(dict(weights))

    for _ in range(2):  # twice changes nothing
        refuse_empty(Rollout)
    rollout = Rollout()
    asyncio.run(rollout.update_weights({"lora_A": 1}.items(), peft_config="r=8", base_sync_done=True))
    asyncio.run(rollout.update_weights(iter([("weight", 2)]), peft_config="r=8", base_sync_done=False))
    asyncio.run(rollout.update_weights(iter([("weight", 3)]), peft_config=None, base_sync_done=True))
    assert rollout.loaded == [{"lora_A": 1}, {"weight": 2}, {"weight": 3}]
    with pytest.raises(RunError, match="gathered no weights of the adapter"):
        asyncio.run(rollout.update_weights({}.items(), peft_config="r=8", base_sync_done=True))
