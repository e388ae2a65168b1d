"""Imported by VERL's worker before vLLM loads the model (`actor_rollout_ref.model.external_lib`), on a CPU only.

Three parts of vLLM 0.11.0 and verl 0.7.0 are replaced: the module of verl that imports every mixture-of-experts model
of vLLM, which fails without triton; vLLM's choice of a matrix product, which on some CPUs packs weights into a
private format, so that weights loaded later would change nothing; and how a worker finds its cores, which fails where
VERL starts several servers, because it counts workers of all of them in a list for one.
"""

# vLLM ships no types, and the environment in which types are checked has none of it:
# pyright: reportMissingImports=false, reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import sys
import types
from typing import Any

import torch
import vllm.model_executor.layers.utils as layers
from vllm.v1.worker.cpu_worker import CPUWorker


def plain_product(layer: Any, remove_weight: bool) -> None:
    """Multiply with the weight where it lies; `remove_weight` asks for a packed copy, which is what must not be."""
    layer.cpu_linear = torch.nn.functional.linear


layers.dispatch_cpu_unquantized_gemm = plain_product

_init_device: Any = CPUWorker.init_device


def init_device(self: Any) -> None:
    """As vLLM's own, with the cores of `VLLM_CPU_OMP_THREADS_BIND` listed for the workers of all servers."""
    self.parallel_config.data_parallel_rank_local = None
    _init_device(self)


CPUWorker.init_device = init_device


def no_experts(model: Any) -> None:
    """The tiny model has none to patch."""


without_experts: Any = types.ModuleType("verl.utils.vllm.patch")
without_experts.patch_vllm_moe_model_weight_loader = no_experts
sys.modules["verl.utils.vllm.patch"] = without_experts
