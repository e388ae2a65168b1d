"""Finds the accelerators of this machine, and the attention kernel that trains on them.

The module does not import torch, which needs seconds and several hundred megabytes: a user without a GPU gets the
message at once.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

DEVICES = Path("/dev")
PROBE_S = 20.0
"""Time limit for a tool such as the vendor's; after a long idle time its first call loads the driver."""


class Attention(StrEnum):
    """The attention kernel that trains; generation uses vLLM's own."""

    FLASH = "flash_attention_2"
    SDPA = "sdpa"

    @property
    def meaning(self) -> str:
        """What the kernel gains or costs, in one sentence."""
        if self is Attention.FLASH:
            return "flash-attention: padding is removed before the forward pass"
        return (
            "PyTorch's own attention, because flash-attn is not installed: padding is computed too, so updates and "
            "log-probabilities take more time and memory; results are equal up to rounding"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """One GPU or NPU."""

    name: str
    """As its vendor's tool calls it."""
    memory_gib: float | None = None
    """None when the vendor's tool does not say."""


def attention_backend(has_module: Callable[[str], bool] | None = None) -> Attention:
    """The attention that training uses here: flash-attention where it is installed, else PyTorch's own."""
    return Attention.FLASH if (has_module or module_exists)("flash_attn") else Attention.SDPA


def find_gpus(
    environment: Mapping[str, str] = os.environ, *, devices: Path = DEVICES, probe: Callable[..., str] | None = None
) -> list[Accelerator]:
    """The NVIDIA GPUs that a program started from here may use; CUDA_VISIBLE_DEVICES is respected."""
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and visible.strip() in ("", "-1", "NoDevFiles"):
        return []
    answer = (probe or output_of)("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits")
    found = [_gpu(line) for line in answer.splitlines() if "," in line]
    if not found:
        found = [Accelerator(name=path.name) for path in _numbered(devices, "nvidia")]
    return found if visible is None else found[: len(visible.split(","))]


def find_npus(*, devices: Path = DEVICES) -> list[Accelerator]:
    """The Ascend NPUs whose driver is loaded."""
    return [Accelerator(name=path.name) for path in _numbered(devices, "davinci")]


def module_exists(name: str) -> bool:
    """Whether a package can be imported; does not import it."""
    return importlib.util.find_spec(name) is not None


def _gpu(line: str) -> Accelerator:
    name, _, megabytes = line.rpartition(",")
    number = megabytes.strip()
    return Accelerator(name=name.strip(), memory_gib=int(number) / 1024 if number.isdigit() else None)


def _numbered(folder: Path, prefix: str) -> list[Path]:
    return sorted(path for path in folder.glob(f"{prefix}*") if re.fullmatch(rf"{prefix}\d+", path.name))


def output_of(*command: str) -> str:
    """What a command prints; empty when it is not there or fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=PROBE_S, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
