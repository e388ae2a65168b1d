"""Checks what a run with VERL needs, the cheapest check first; each error is one line.

Nothing here imports Agent-lightning, torch or VERL: a machine that cannot train says so within seconds.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lit_sql_trainer.errors import DataError, ModelError, NoDataFolderError, SetupError
from lit_sql_trainer.machine.devices import Accelerator, find_gpus, find_npus, module_exists
from lit_sql_trainer.profile.profile import Profile
from lit_sql_trainer.profile.verl import Device

GATED = ("meta-llama/",)
"""Owners on the Hugging Face hub whose models require an accepted licence."""
TOKEN_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
STACK = ("verl", "vllm", "torch")


def check_data_named(profile: Profile, default: Path | None) -> None:
    """Check that the data folder that the user names exists; `check_data_default` checks the profile's own, last.

    Raises:
        NoDataFolderError: it does not exist.
    """
    if profile.data is not None and profile.data != default and not profile.data.is_dir():
        raise NoDataFolderError(folder=profile.data)


def check_data_default(profile: Profile) -> None:
    """Check that the benchmark is where the profile expects it.

    Raises:
        DataError: it is not there; the error names the command that gets it.
    """
    if profile.data is not None and not profile.data.is_dir():
        raise DataError(
            f"profile {profile.name!r} trains on Spider, expected in {str(profile.data)!r}: get it with "
            f"`spider-data download {profile.data}`, or name other data with --data"
        )


def check_token(model: str | None, environment: Mapping[str, str] = os.environ) -> None:
    """Check that a gated model has an account's token: in HF_TOKEN or from `huggingface-cli login`.

    Raises:
        ModelError: the model is gated and there is no token.
    """
    if model is None or not model.startswith(GATED) or Path(model).is_dir():
        return
    home = Path(environment.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    if any(environment.get(name) for name in TOKEN_VARIABLES) or (home / "token").is_file():
        return
    raise ModelError(
        f"model {model!r} can only be downloaded with an account that accepted its licence",
        "set HF_TOKEN to that account's token, or name a folder that holds the model with --model",
    )


def check_accelerator(
    profile: Profile,
    *,
    gpus: Callable[[], Sequence[Accelerator]] = find_gpus,
    npus: Callable[[], Sequence[Accelerator]] = find_npus,
    has_module: Callable[[str], bool] = module_exists,
    environment: Mapping[str, str] = os.environ,
) -> None:
    """Check that this machine has the accelerators that the profile trains on, and the packages for them.

    With RAY_ADDRESS set the accelerators are those of a Ray cluster, and Ray itself counts them.

    Raises:
        SetupError: an accelerator is missing or the GPU stack is not installed.
    """
    trainer = profile.gpu.trainer
    npu = trainer.device is Device.NPU
    if not environment.get("RAY_ADDRESS"):
        found = (npus if npu else gpus)()
        if not found:
            raise SetupError(*_nothing_found(profile.name, npu=npu))
        if len(found) < trainer.n_gpus_per_node:
            raise SetupError(
                f"{trainer.n_gpus_per_node} GPUs per node are wanted, this machine has {len(found)} "
                f"({', '.join(each.name for each in found)})",
                f"lower it with --set n_gpus_per_node={len(found)}",
            )
        if trainer.nnodes > 1:
            raise SetupError(
                f"{trainer.nnodes} nodes need a Ray cluster",
                "start Ray on each node, and set RAY_ADDRESS=auto where `train` runs (apps/train/ray shows how)",
            )
    missing = [name for name in (*STACK, *(["torch_npu"] if npu else [])) if not has_module(name)]
    if missing:
        raise SetupError(
            f"profile {profile.name!r} needs the GPU stack, and {', '.join(missing)} cannot be imported",
            f"run `uv run --package lit-sql-trainer train {profile.name}` (without --no-group), which installs it",
        )


def _nothing_found(profile: str, *, npu: bool) -> tuple[str, str]:
    if npu:
        what, needs = "no Ascend NPU found", "one, with its driver, torch_npu and vllm-ascend"
    else:
        what, needs = "no GPU found", "an NVIDIA GPU with its driver, on Linux x86-64 (apps/train/README.md)"
    here = f"`train tiny` (trains a tiny model), `train {profile} --dev` (dry run)"
    return what, f"this profile needs {needs}. What works on this machine: {here}"
