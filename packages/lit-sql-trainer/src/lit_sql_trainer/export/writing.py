"""Writes weights, configuration, tokenizer and chat template into a folder. Imports torch: import this module late."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path

import torch
from safetensors import SafetensorError

from lit_sql_trainer.errors import ConfigError, ModelError
from lit_sql_trainer.models.folder import missing_model_parts
from lit_sql_trainer.models.source import Source, read_json
from lit_sql_trainer.models.weights import State, untied

CARRIED = (
    "config.json", "generation_config.json", "tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab.*",
    "merges.txt", "chat_template.*", "*.model",
)  # fmt: skip
"""Patterns for the files of a model other than its weights."""
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
SHARD_SIZE = "5GB"


def rounded(state: State, source: Source, dtype: str | None) -> State:
    """The tensors as they will be written: without a second copy of a tied output layer, and rounded to `dtype`.

    Raises:
        ConfigError: `dtype` is no known type.
    """
    config = read_json(source.config_folder / "config.json")
    state = untied(state, tied=bool(config.get("tie_word_embeddings")))
    if dtype is None:
        return state
    if dtype not in DTYPES:
        raise ConfigError(f"--dtype {dtype!r}: expected one of {', '.join(DTYPES)}")
    return {name: tensor.to(DTYPES[dtype]) if tensor.is_floating_point() else tensor for name, tensor in state.items()}


def write_model(source: Source, state: State, folder: Path) -> None:
    """Write every file that loading the model needs.

    Raises:
        ModelError: the checkpoint lacks a part of it.
        OSError: the disk refuses it.
    """
    home = source.config_folder
    for pattern in CARRIED:
        for file in home.glob(pattern):
            shutil.copyfile(file, folder / file.name)
    _name_dtype(folder / "config.json", state)
    from huggingface_hub import save_torch_state_dict

    whole = {name: tensor.contiguous() for name, tensor in state.items()}
    try:
        save_torch_state_dict(whole, folder, max_shard_size=SHARD_SIZE)
    except SafetensorError as error:  # its only word for a disk that takes no more
        raise OSError(errno.EIO, str(error), str(folder)) from error
    for file in folder.iterdir():
        file.chmod(0o644)  # the hub's writer makes weights readable to their owner only
    missing = missing_model_parts(folder)
    if missing:
        raise ModelError(f"{str(home)!r} lacks {', '.join(missing)}: take them from the base with --base")


def _name_dtype(file: Path, state: State) -> None:
    """Make the configuration name the type of the weights; otherwise loaders would round them."""
    config = json.loads(file.read_text(encoding="utf-8"))
    kinds = {tensor.dtype for tensor in state.values() if tensor.is_floating_point()}
    if len(kinds) == 1:
        config["torch_dtype"] = config["dtype"] = str(kinds.pop()).removeprefix("torch.")
    file.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
