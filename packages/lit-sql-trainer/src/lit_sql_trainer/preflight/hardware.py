"""The estimate of a profile's memory beside what this machine has."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

from lit_sql_trainer.preflight.findings import Family, Finding, failed, passed, warned
from lit_sql_trainer.preflight.memory import Estimate, estimates, size
from lit_sql_trainer.preflight.shape import ModelShape, read_shape
from lit_sql_trainer.preflight.subject import Subject

TIGHT = 0.9
"""Share of the memory above which a fit is called tight."""


def check_memory(subject: Subject) -> Iterator[Finding]:
    """What the profile needs against the memory that is free here."""
    shape = read_shape(subject.model_folder) if subject.model_folder else cached_shape(subject.model)
    if shape is None:
        yield warned(
            Family.MEMORY,
            "memory",
            f"unknown: no configuration of {subject.model!r} on this machine",
            "Look again once the model is here, or name a folder with --model",
        )
        return
    for estimate in estimates(subject.profile, shape):
        yield _compared(estimate, shape)


def cached_shape(model: str) -> ModelShape | None:
    """The shape of a Hugging Face id whose configuration was fetched before; None when it was not."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(model, "config.json")
    except HFValidationError:
        return None
    return read_shape(Path(found).parent) if isinstance(found, str) else None


def available_bytes() -> int | None:
    """Memory that can be had without swapping; None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    fields = dict(line.split(":", 1) for line in lines)
    return int(fields["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in fields else None


def gpus() -> list[tuple[str, int]]:
    """Name and free memory in bytes of each NVIDIA GPU; empty where there is none."""
    command = ("nvidia-smi", "--query-gpu=name,memory.free", "--format=csv,noheader,nounits")
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
        pairs = [line.rsplit(",", 1) for line in told.splitlines() if line.strip()]
        return [(name.strip(), int(free) * 2**20) for name, free in pairs]
    except (OSError, ValueError, subprocess.SubprocessError):
        return []


def _compared(estimate: Estimate, shape: ModelShape) -> Finding:
    needed = estimate.total_bytes
    largest = sorted(estimate.parts, key=lambda part: -part.size_bytes)[:3]
    what = f"{size(needed)} for {shape.parameters / 1e6:,.0f} M parameters ({', '.join(part.told for part in largest)})"
    remedy = "Lower grpo.max_batch or grpo.micro_batch_tokens, take a smaller model, or a larger machine"
    if estimate.place == "GPU memory":
        seen = gpus()
        if not seen:
            return failed(Family.MEMORY, "GPU", f"no NVIDIA GPU is visible; the profile needs {what}", remedy)
        free, where = min(bytes_ for _, bytes_ in seen), f"{len(seen)} × {seen[0][0]}"
    else:
        found = available_bytes()
        if found is None:
            return warned(Family.MEMORY, "memory", f"needs {what}; the system does not say what is free", remedy)
        free, where = found, "this machine"
    told = f"about {what}, {size(free)} free on {where}"
    if needed > free:
        return failed(Family.MEMORY, estimate.place, told, remedy)
    if needed > TIGHT * free:
        return warned(Family.MEMORY, estimate.place, f"tight: {told}", remedy)
    return passed(Family.MEMORY, estimate.place, told)
