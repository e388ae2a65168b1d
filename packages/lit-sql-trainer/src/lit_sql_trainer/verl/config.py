"""From a profile to the dictionary that Agent-lightning's `VERL` takes. Pure: VERL is not imported.

`verl_config` says what VERL is told, `run_config` what one run adds to that, `check_config` that VERL knows every key
of it, `check_sizes` that its sizes fit.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
from pathlib import Path
from typing import cast

from lit_sql_trainer.errors import ConfigError
from lit_sql_trainer.machine.devices import Attention
from lit_sql_trainer.profile.named import QWEN
from lit_sql_trainer.profile.overrides import to_plain
from lit_sql_trainer.profile.profile import Profile
from lit_sql_trainer.profile.verl import Logger
from lit_sql_trainer.profile.verl_keys import KnownKeys, flattened, recorded_keys
from lit_sql_trainer.runs.folder import RunFolder
from lit_sql_trainer.verl import lora
from lit_sql_trainer.verl.foreign import Section, VerlConfig
from lit_sql_trainer.verl.plan import update_plan
from lit_sql_trainer.verl.relay import RUN_KEY, SETTINGS_KEY, RunFacts

_PADDED_ROWS = (
    ("actor", "ppo_micro_batch_size_per_gpu", 1),
    ("rollout", "log_prob_micro_batch_size_per_gpu", 4),
    ("ref", "log_prob_micro_batch_size_per_gpu", 4),
)
"""Most rows of a forward pass when every row is as wide as the longest prompt and reply allowed. Changes memory and
time, not the result: gradients are summed over the passes of a mini-batch."""


def verl_config(
    profile: Profile,
    *,
    data: Path | None = None,
    experiment: str | None = None,
    checkpoints: Path | None = None,
    resume_from: Path | None = None,
    attention: Attention = Attention.FLASH,
) -> VerlConfig:
    """What VERL is told: the tutorial's dictionary with this profile's values, nested, of plain values.

    Args:
        profile: one with settings of VERL.
        data: folder of the Parquet files; by default the profile's own.
        experiment: name under which a logger files the run; by default the profile's name.
        checkpoints: folder that gets `global_step_*`; by default VERL's own choice.
        resume_from: a `global_step_*` folder to go on from. A run without one starts afresh, whatever lies around.
        attention: without flash-attention padding cannot be removed, and fewer rows are computed at once.

    Raises:
        ConfigError: the profile trains with the local algorithm.
    """
    settings = profile.gpu
    extra = dict(settings.extra)
    config = cast("VerlConfig", _written(to_plain(dataclasses.replace(settings, extra={}))))
    del config["extra"]
    trainer = config["trainer"]
    trainer["logger"] = list(dict.fromkeys([Logger.CONSOLE.value, *trainer["logger"]]))
    if trainer.get("val_only"):
        trainer["val_before_train"] = True  # the library looks at val_only only after that validation
    trainer["experiment_name"] = experiment or profile.name
    trainer["resume_mode"] = "disable" if resume_from is None else "resume_path"
    if resume_from is not None:
        trainer["resume_from_path"] = str(resume_from)
    if checkpoints is not None:
        trainer["default_local_dir"] = str(checkpoints)
    folder = data or profile.data
    if folder is not None:
        config["data"] |= {
            "train_files": str(folder / "train.parquet"),
            "val_files": str(folder / "validation.parquet"),
        }
    model = config["actor_rollout_ref"]["model"]
    if profile.model is not None:
        model["path"] = profile.model
    if model.get("lora_rank"):
        extra.setdefault("actor_rollout_ref.model.external_lib", lora.LIBRARY)
    if attention is Attention.SDPA:
        model["use_remove_padding"] = False
        parts = config["actor_rollout_ref"]
        for part, name, most in _PADDED_ROWS:
            parts[part][name] = min(parts[part][name], most)
        extra.setdefault("actor_rollout_ref.model.override_config.attn_implementation", attention.value)
    for path, value in extra.items():
        _put(config, path, value)
    return config


def run_config(config: Section, *, run: RunFolder, model: str, facts: RunFacts) -> VerlConfig:
    """VERL's dictionary with what only this run knows: model, folders, name, and the facts that our trainer reads."""
    composed = cast("VerlConfig", json.loads(json.dumps(config, default=str)))  # a copy of plain values
    composed.setdefault(SETTINGS_KEY, {})
    composed[RUN_KEY] = to_plain(facts)
    composed.setdefault("actor_rollout_ref", {}).setdefault("model", {})["path"] = model
    trainer = composed.setdefault("trainer", {})
    trainer["default_local_dir"] = str(run.checkpoints.resolve())
    trainer.setdefault("experiment_name", run.name)
    trainer.setdefault("resume_mode", "auto")  # of who says nothing: from this run's own folder
    composed.setdefault("data", {})["val_batch_size"] = None
    return composed


def check_sizes(config: Section, *, train_tasks: int) -> None:
    """Refuse sizes that do not fit before anything is loaded.

    Raises:
        ConfigError: see `plan.update_plan`; or there are fewer tasks than a step takes.
    """
    wanted = int(config["data"]["train_batch_size"])
    if train_tasks < wanted:
        raise ConfigError(
            f"{train_tasks} training tasks are fewer than data.train_batch_size {wanted}: a step needs that many "
            f"different tasks; lower it"
        )
    facts = config[RUN_KEY]
    settings = cast("Section", config[SETTINGS_KEY])
    factor = float(settings.get("refill_factor", 1.0))
    update_plan(
        {"algorithm": {"adv_estimator": "grpo"}, **config}, max_calls=int(facts["max_calls"]), refill_factor=factor
    )


def check_config(config: Section, keys: KnownKeys | None = None) -> None:
    """Look every key of a dictionary for VERL up, because VERL itself takes misspelt ones without a word.

    Args:
        config: nested, as `verl_config` gives it; the section `lit_sql` is ours and not looked up.
        keys: by default the recorded ones.

    Raises:
        ConfigError: a key that VERL does not read, with the nearest that it does.
    """
    keys = keys or recorded_keys()
    for path in flattened({name: part for name, part in config.items() if name not in (SETTINGS_KEY, RUN_KEY)}):
        if not keys.knows(path):
            near = difflib.get_close_matches(path, keys.defaults, n=2, cutoff=0.6)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise ConfigError(f"VERL reads no key {path!r} ({keys.source}){hint}")


def _written(value: object) -> object:
    """The value without what is None, which means "VERL's default"."""
    if not isinstance(value, dict):
        return value
    tree = cast("dict[str, object]", value)
    return {name: _written(inner) for name, inner in tree.items() if inner is not None}


def _put(tree: VerlConfig, path: str, value: object) -> None:
    *parents, leaf = path.split(".")
    for name in parents:
        tree = tree.setdefault(name, {})
    tree[leaf] = value


RL_TRAINING_CONFIG = verl_config(QWEN)
"""The tutorial's dictionary as `train qwen` uses it: `agl.VERL(RL_TRAINING_CONFIG)` takes it as it is."""
