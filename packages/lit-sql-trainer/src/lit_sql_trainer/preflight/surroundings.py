"""The machine and the environment: versions against the tested set, the start method, ports, free disk space."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lit_sql_trainer.errors import SetupError
from lit_sql_trainer.machine import environment
from lit_sql_trainer.machine.devices import Attention
from lit_sql_trainer.preflight.findings import Family, Finding, failed, passed, warned
from lit_sql_trainer.preflight.memory import GIB, checkpoint_bytes
from lit_sql_trainer.preflight.shape import read_shape
from lit_sql_trainer.preflight.subject import Subject
from lit_sql_trainer.profile.profile import Backend

TRAINER, APP = "lit-sql-trainer", "sql-train"
INSTALL = f"uv sync --package {TRAINER}"
INSTALL_LOCAL = f"{INSTALL} --no-group app --group cpu"
LOCAL_NEEDS = ("torch", "transformers", "safetensors")
"""What the local algorithm imports. They are in a dependency group, so no metadata of a wheel names them."""
LOG_BYTES = 512 * 2**20
"""Room for everything in a run folder that is not a checkpoint: a rollout leaves about half a kilobyte."""
TEMPORARY_BYTES = 256 * 2**20
"""Room for temporary files: SQLite sorts in them, up to 128 MiB in each of the runners that is at it."""


def check_versions(subject: Subject) -> Iterator[Finding]:
    """Compare the installed versions with those that were tested."""
    verl = subject.profile.backend is Backend.VERL
    for distribution, extra in ((TRAINER, ""), *(((APP, _extra()),) if verl else ())):
        what = f"versions of {distribution}{f'[{extra}]' if extra else ''}"
        try:
            wrong = environment.version_faults(distribution, extra=extra)
        except importlib.metadata.PackageNotFoundError:
            wrong = [f"{distribution}: not installed"]
        if distribution == TRAINER and not verl:
            wrong += [f"{name}: not installed" for name in LOCAL_NEEDS if importlib.util.find_spec(name) is None]
        if wrong:
            remedy = f"Install the tested set with `{INSTALL if verl else INSTALL_LOCAL}`"
            yield failed(Family.VERSIONS, what, "; ".join(wrong), remedy, [each.partition(":")[0] for each in wrong])
        else:
            tested = len(importlib.metadata.requires(distribution) or ())
            yield passed(Family.VERSIONS, what, f"all {tested} requirements are met")
    if verl:
        attention = environment.attention_backend()
        if attention is Attention.FLASH:
            yield passed(Family.VERSIONS, "attention", attention.meaning)
        else:
            remedy = "Build it for this GPU with `uv pip install flash-attn --no-build-isolation`, or train without"
            yield warned(Family.VERSIONS, "attention", attention.meaning, remedy)
    try:
        environment.check_start_method()
    except SetupError as error:
        yield failed(Family.VERSIONS, "start method", str(error), "Train on Linux, or in a program that forks")


def check_ports(subject: Subject) -> Iterator[Finding]:
    """Check the port of the rollout store, or that the loopback interface can be listened on at all."""
    try:
        port = environment.free_port() if subject.port is None else environment.check_port(subject.port)
    except (SetupError, OSError) as error:
        yield failed(
            Family.PORTS, "rollout store", str(error), "Stop what listens there, or leave out --port to take a free one"
        )
        return
    chosen = f"port {port} is free" if subject.port is not None else "any free port, chosen when training starts"
    yield passed(Family.PORTS, "rollout store", f"{chosen}, on {environment.LOOPBACK}")


def check_disk(subject: Subject) -> Iterator[Finding]:
    """Compare the free space for checkpoints, logs and temporary files with what the profile will write."""
    shape = read_shape(subject.model_folder) if subject.model_folder else None
    weights = checkpoint_bytes(subject.profile, shape) if shape else None
    places: dict[int, list[tuple[str, Path, int]]] = {}
    for what, path, needed in (
        ("run folder", subject.runs, LOG_BYTES + (weights or 0)),
        ("temporary files", Path(tempfile.gettempdir()), TEMPORARY_BYTES),
    ):
        place = _existing(path)
        places.setdefault(os.stat(place).st_dev, []).append((what, place, needed))  # noqa: PTH116  st_dev of a Path
    for uses in places.values():  # one file system, one sum
        free = shutil.disk_usage(uses[0][1]).free
        needed = sum(each for _, _, each in uses)
        what = " and ".join(what for what, _, _ in uses)
        found = f"{free / GIB:.1f} GiB free at {uses[0][1]}, about {needed / GIB:.1f} GiB needed"
        if any(what == "run folder" for what, _, _ in uses) and weights is None:
            found += ", checkpoints not counted: the model's size is unknown here"
        if free < needed:
            yield failed(Family.DISK, what, found, "Free some space, or choose another disk with --runs (and TMPDIR)")
        else:
            yield passed(Family.DISK, what, found)


def _extra() -> str:
    """Name the extra of sql-train that is installed: vLLM's CPU build has the same name as its CUDA build."""
    try:
        return "cpu-proof" if "+cpu" in importlib.metadata.version("vllm") else "gpu"
    except importlib.metadata.PackageNotFoundError:
        return "gpu"


def _existing(path: Path) -> Path:
    """The folder itself, or the nearest one above it that exists."""
    path = path.absolute()
    while not path.is_dir():
        path = path.parent
    return path
