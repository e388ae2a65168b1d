"""Reads the weights of a checkpoint, tensor by tensor under the names that transformers uses, and computes digests.

The module joins shards of FSDP exactly: VERL's own merger first rounds every shard to bfloat16, and writes a LoRA with
`lora_alpha` 0, which has no effect. It adds an adapter to its base as peft does: W + s · B A, with s = alpha / r
(alpha / √r for rank-stabilised adapters), computed in float32.

Imports torch: import this module late.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, cast

import torch

from lit_sql_trainer.errors import ModelError
from lit_sql_trainer.models.source import ADAPTER, SHARD, Kind, Source, read_json

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor

State = dict[str, torch.Tensor]
"""Tensors by name."""
_RANK = re.compile(r"model_world_size_(\d+)_rank_(\d+)\.pt$")
_PREFIX = "base_model.model."


class AdapterConfig(TypedDict, total=False):
    """The scale in peft's `adapter_config.json`; `merge_adapter` refuses a file that also turns on another feature."""

    r: int
    lora_alpha: float
    use_rslora: bool


def read_weights(source: Source) -> State:
    """All tensors of a checkpoint, on the CPU, as they were saved.

    Raises:
        ModelError: files are missing, damaged or of an unknown layout.
    """
    match source.kind:
        case Kind.HUGGING_FACE:
            return read_folder(source.path)
        case Kind.FSDP:
            state = read_shards(source.path)
            if any(".lora_" in name for name in state):
                return merge_adapter(*_split(state), _adapter_config(source))
            return state
        case Kind.ADAPTER:
            if source.base is None or not Path(source.base).is_dir():
                raise ModelError(
                    f"an adapter needs its base model, and {source.base!r} is no folder here: name one with --base"
                )
            return merge_adapter(
                read_folder(Path(source.base)),
                read_folder(source.path),
                cast("AdapterConfig", read_json(source.path / ADAPTER)),
            )


def read_folder(folder: Path) -> State:
    """The tensors of every safetensors file in a folder.

    Raises:
        ModelError: there are none, or one is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file  # pyright: ignore[reportUnknownVariableType]  typed in part

    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ModelError(f"no *.safetensors in {str(folder)!r}: save the model with `save_pretrained`")
    state: State = {}
    for file in files:
        try:
            state |= dict(sorted(load_file(file).items()))
        except (SafetensorError, OSError) as error:
            raise ModelError(f"{str(file)!r} cannot be read: {error}; is it complete?") from error
    return state


def read_shards(folder: Path) -> State:
    """Read and join the tensors that the ranks of an FSDP run saved.

    Raises:
        ModelError: a rank's file is missing, or a tensor is split in an unknown way.
    """
    from torch.distributed.tensor import DTensor

    ranks = {(int(found[1]), int(found[2])): file for file in folder.glob(SHARD) if (found := _RANK.search(file.name))}
    world = max(world for world, _ in ranks)
    missing = [rank for rank in range(world) if (world, rank) not in ranks]
    if missing:
        raise ModelError(f"{str(folder)!r} lacks the shards of ranks {missing} of {world}: copy the whole folder")
    shards = [
        cast("dict[str, object]", torch.load(ranks[world, rank], map_location="cpu", weights_only=True))
        for rank in range(world)
    ]
    state: State = {}
    for name in list(shards[0]):
        parts = [shard.pop(name) for shard in shards]
        first = parts[0]
        if isinstance(first, DTensor):
            state[name] = _joined(name, cast("list[DTensor]", parts))
        elif isinstance(first, torch.Tensor) and (
            world == 1 or all(torch.equal(first, each) for each in cast("list[torch.Tensor]", parts))
        ):
            state[name] = first
        else:
            raise ModelError(f"{name!r} in {str(folder)!r} is no DTensor and differs between ranks: use FSDP2, or FSDP")
    return state


def merge_adapter(
    base: Mapping[str, torch.Tensor], adapter: Mapping[str, torch.Tensor], config: AdapterConfig
) -> State:
    """Add a LoRA to its base; return the merged tensors.

    Raises:
        ModelError: the adapter holds more than plain LoRA, has no scale, or does not fit the base.
    """
    rank, alpha = int(config.get("r") or 0), float(config.get("lora_alpha") or 0)
    if rank < 1 or alpha <= 0:
        raise ModelError(f"the adapter says r={rank} and lora_alpha={alpha:g}: merged so, it would change nothing")
    for feature in ("use_dora", "alpha_pattern", "rank_pattern", "modules_to_save", "fan_in_fan_out"):
        if config.get(feature):
            raise ModelError(
                f"the adapter uses {feature}, which is not merged here: merge it with peft and export that"
            )
    scale = alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
    merged = dict(base)
    pairs: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in adapter.items():
        found = re.fullmatch(r"(?:base_model\.model\.)?(.+)\.lora_([AB])(?:\.default)?\.weight", name)
        if not found:
            raise ModelError(f"the adapter holds {name!r}, which is no LoRA matrix: merge it with peft and export that")
        pairs.setdefault(f"{found[1]}.weight", {})[found[2]] = tensor
    for name, pair in pairs.items():
        if name not in merged or set(pair) != {"A", "B"}:
            raise ModelError(
                f"the adapter changes {name!r}, of which the base or the adapter lacks a part: is it the right base?"
            )
        weight = merged[name]
        merged[name] = (weight.float() + scale * (pair["B"].float() @ pair["A"].float())).to(weight.dtype)
    return merged


def digests(state: Mapping[str, torch.Tensor]) -> dict[str, str]:
    """sha256 of each tensor: its type, its shape and its bytes."""
    return {name: digest(state[name]) for name in sorted(state)}


def digest(tensor: torch.Tensor) -> str:
    """sha256 of a tensor's type, shape and bytes."""
    found = hashlib.sha256(f"{tensor.dtype} {list(tensor.shape)}\0".encode())
    found.update(tensor.detach().contiguous().flatten().view(torch.uint8).numpy().data)  # pyright: ignore[reportUnknownMemberType]  partly typed
    return found.hexdigest()


def changed(state: Mapping[str, torch.Tensor], base: Mapping[str, torch.Tensor]) -> list[str]:
    """Names of tensors that differ from the base rounded to their type; tensors that the base lacks count too."""
    return [
        name
        for name, tensor in state.items()
        if name not in base or base[name].shape != tensor.shape or not torch.equal(base[name].to(tensor.dtype), tensor)
    ]


def untied(state: State, *, tied: bool) -> State:
    """The tensors without the output layer when it equals the embedding: a tied pair is saved once, if listed twice."""
    head, embedding = "lm_head.weight", "model.embed_tokens.weight"
    twice = tied and head in state and embedding in state and torch.equal(state[head], state[embedding])
    return {name: tensor for name, tensor in state.items() if not (twice and name == head)}


def _joined(name: str, parts: Sequence[DTensor]) -> torch.Tensor:
    """One tensor from the local parts of a DTensor; over (replicas, shards) this is the first replica."""
    from torch.distributed.tensor import Replicate, Shard

    # `to_local` needs the process group of training; a file holds only the part itself.
    mesh, placements = parts[0].device_mesh, tuple(parts[0].placements)
    if len(placements) == 2 and isinstance(placements[0], Replicate):
        parts, placements = parts[: mesh.mesh.shape[-1]], placements[1:]
    held = [part._local_tensor for part in parts]  # pyright: ignore[reportPrivateUsage]  see above
    if len(placements) != 1:
        raise ModelError(f"{name!r} is split over {placements}, expected one dimension of shards")
    if isinstance(placements[0], Replicate):
        return held[0]
    if not isinstance(placements[0], Shard):
        raise ModelError(f"{name!r} is split as {placements[0]}, expected Shard or Replicate")
    joined = torch.cat(held, dim=placements[0].dim)
    if joined.shape != parts[0].shape:
        raise ModelError(f"{name!r} has shape {list(joined.shape)} in all, expected {list(parts[0].shape)}")
    return joined


def _split(state: State) -> tuple[State, State]:
    """The base and the adapter of a model that peft wrapped for training."""
    adapter = {name: tensor for name, tensor in state.items() if ".lora_" in name}
    base = {
        name.removeprefix(_PREFIX).replace(".base_layer.", "."): tensor
        for name, tensor in state.items()
        if name not in adapter
    }
    return base, adapter


def _adapter_config(source: Source) -> AdapterConfig:
    """The adapter's configuration: VERL's file beside it, else the run's settings."""
    file = source.path / "lora_adapter" / ADAPTER
    if file.is_file():
        return cast("AdapterConfig", read_json(file))
    if source.profile is not None and source.profile.verl is not None:
        model = source.profile.verl.actor_rollout_ref.model
        return {"r": model.lora_rank or 0, "lora_alpha": model.lora_alpha or 0}
    raise ModelError(f"{str(source.path)!r} has a LoRA and no {file.name} that tells its scale: export from the run")
