"""Finds the weights of a model: a run's checkpoint, or a folder that holds a checkpoint of one of three kinds.

The local algorithm writes a Hugging Face folder. VERL writes shards of FSDP with the model's configuration and
tokenizer beside them. A LoRA adapter, as peft writes it, needs its base model.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, cast

from lit_sql_trainer.errors import ConfigError, ModelError, RunError
from lit_sql_trainer.models.checkpoints import Checkpoint, last_checkpoint
from lit_sql_trainer.models.folder import check_model_folder, model_source
from lit_sql_trainer.profile.overrides import from_plain
from lit_sql_trainer.profile.profile import Profile
from lit_sql_trainer.runs.folder import RunFolder, open_run

ADAPTER = "adapter_config.json"
SHARD = "model_world_size_*_rank_*.pt"
SETTINGS_FILE = "lit_sql.json"
"""File in an exported folder that holds the settings of training."""


class Kind(StrEnum):
    """The form of the weights on disk."""

    HUGGING_FACE = "Hugging Face folder"
    FSDP = "shards of FSDP"
    ADAPTER = "LoRA adapter"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A checkpoint and what is known about its origin."""

    path: Path
    """The folder that holds the weights."""
    kind: Kind
    base: str | None
    """The model that training began with: a folder or a Hugging Face id; None when it is unknown."""
    run: RunFolder | None = None
    profile: Profile | None = None

    @property
    def config_folder(self) -> Path:
        """The folder of the model's configuration and tokenizer; an adapter uses its base's."""
        if self.kind is Kind.FSDP:
            return self.path / "huggingface"
        if self.kind is Kind.ADAPTER and not (self.path / "config.json").is_file():
            return Path(self.base or "")
        return self.path

    @property
    def base_name(self) -> str:
        """The model that training began with, for people: an id, or a folder's name without its path."""
        if self.profile is not None and self.profile.model is None:
            return "the tiny model of lit-sql-trainer"
        name = self.profile.model if self.profile is not None else self.base
        return "an unknown model" if name is None else Path(name).name if Path(name).is_dir() else name

    @property
    def step(self) -> int | None:
        """The update after which the weights were saved; None when no file says."""
        for file in (self.path / "state.json", self.path.parent / "lit_sql_state.json"):
            if file.is_file():
                return cast("int", read_json(file).get("step", 0))
        found = re.search(r"global_step_(\d+)", str(self.path))
        return int(found[1]) if found else None

    @property
    def label(self) -> str:
        """For people: the run and the checkpoint in it, or the folder."""
        if self.run is None:
            return self.path.name
        return f"run {self.run.name}, {self.path.resolve().relative_to(self.run.path.resolve())}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model folder that a server loads."""

    folder: Path
    name: str
    """The name to ask the server for."""
    profile: Profile | None
    """The settings of training; None when they are unknown."""


def find_source(
    what: Path | str,
    *,
    runs: Path = Path("runs"),
    checkpoint: Checkpoint = Checkpoint.BEST,
    base: str | None = None,
) -> Source:
    """The checkpoint that `what` names: a run by folder or name (its best or last), or a checkpoint folder.

    `base` names the model that training began with; it overrides the one that the run or the adapter names.

    Raises:
        RunError: there is no such run or checkpoint.
        ModelError: the folder holds no checkpoint of a known kind.
    """
    path = Path(what)
    inside = _inside(path)
    if inside is None:
        if path.is_dir() and not (path / "checkpoints").is_dir():
            raise ModelError(
                f"{str(path)!r} holds no checkpoint: expected config.json with *.safetensors, {SHARD} (VERL's actor "
                f"folder), {ADAPTER}, or a run folder"
            )
        run = open_run(what, root=runs)
        inside = _inside(_of_run(run, checkpoint))
        if inside is None:
            raise RunError(f"run {run.name!r} has no complete checkpoint {str(checkpoint)!r}: train on, or try another")
    else:
        run = _run_above(inside[0])
    folder, kind = inside
    return Source(path=folder, kind=kind, base=base or _base(folder, kind, run), run=run, profile=_profile(run))


def find_model(what: Path | str, *, runs: Path = Path("runs"), checkpoint: Checkpoint = Checkpoint.BEST) -> Model:
    """The model that `what` names: a run (its best or last checkpoint), an exported folder, or any model folder.

    Raises:
        RunError, ModelError: there is no such model, or no server loads its form.
    """
    source = find_source(what, runs=runs, checkpoint=checkpoint)
    if source.kind is not Kind.HUGGING_FACE:
        raise ModelError(f"{source.label} is saved as {source.kind}: `lit-sql export {what} FOLDER`, then serve FOLDER")
    check_model_folder(source.path)
    name = source.run.name if source.run is not None else source.path.resolve().name
    return Model(folder=source.path, name=name, profile=source.profile or _exported_profile(source.path))


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object from a file.

    Raises:
        ModelError: the file cannot be read.
    """
    try:
        return cast("dict[str, object]", json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise ModelError(f"{str(path)!r} cannot be read ({error}): is the checkpoint complete?") from error


def _inside(path: Path) -> tuple[Path, Kind] | None:
    """The folder of the weights (`path`, or VERL's `actor` below it) and their kind; None when neither holds any."""
    for folder in (path, path / "actor"):
        if any(folder.glob(SHARD)):
            return folder, Kind.FSDP
        if (folder / ADAPTER).is_file():
            return folder, Kind.ADAPTER
        if (folder / "config.json").is_file() and any(folder.glob("*.safetensors")):
            return folder, Kind.HUGGING_FACE
    return None


def _of_run(run: RunFolder, checkpoint: Checkpoint) -> Path:
    place = run.checkpoints / checkpoint
    for folder in (place, place.with_name(f"{place.name}.previous")):
        if _inside(folder) is not None:
            return folder
    last = last_checkpoint(run.checkpoints)
    if last is not None:
        return last.path
    raise RunError(f"run {run.name!r} has no checkpoint {str(checkpoint)!r} yet: train on, or try another --checkpoint")


def _run_above(folder: Path) -> RunFolder | None:
    for parent in folder.resolve().parents:
        if (parent / "checkpoints").is_dir() and (parent / "config.json").is_file():
            return RunFolder(path=parent)
    return None


def _profile(run: RunFolder | None) -> Profile | None:
    """The run's settings; None when another version wrote them, because the weights must stay usable."""
    if run is None:
        return None
    try:
        return from_plain(Profile, run.config())
    except (ConfigError, TypeError):
        return None


def _base(folder: Path, kind: Kind, run: RunFolder | None) -> str | None:
    if run is not None:
        return model_source(cast("str | None", run.config().get("model")))
    if kind is Kind.ADAPTER:
        return cast("str | None", read_json(folder / ADAPTER).get("base_model_name_or_path"))
    return None


def _exported_profile(folder: Path) -> Profile | None:
    """The settings in an exported folder; None when there are none."""
    file = folder / SETTINGS_FILE
    if not file.is_file():
        return None
    try:
        plain: dict[str, object] | None = json.loads(file.read_text(encoding="utf-8"))["profile"]
        return None if plain is None else from_plain(Profile, plain)
    except (ValueError, KeyError, TypeError, ConfigError) as error:
        raise ModelError(f"{str(file)!r} cannot be read ({error}): export the model again") from error
