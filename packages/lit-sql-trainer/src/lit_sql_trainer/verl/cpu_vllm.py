"""Imported by VERL's worker before vLLM loads the model (`actor_rollout_ref.model.external_lib`), on a CPU only.

Two parts of vLLM 0.11.0 and verl 0.7.0 are replaced: the module of verl that imports every mixture-of-experts model
of vLLM, which fails without triton, and vLLM's choice of a matrix product, which on some CPUs packs weights into a
private format, so that weights loaded later would change nothing.
"""

# vLLM ships no types, and the environment in which types are checked has none of it:
# pyright: reportMissingImports=false, reportUnknownMemberType=false

from __future__ import annotations

import sys
import types
from typing import Any

import torch
import vllm.model_executor.layers.utils as layers


def plain_product(layer: Any, remove_weight: bool) -> None:
    """Multiply with the weight where it lies; `remove_weight` asks for a packed copy, which is what must not be."""
    layer.cpu_linear = torch.nn.functional.linear


layers.dispatch_cpu_unquantized_gemm = plain_product


def no_experts(model: Any) -> None:
    """The tiny model has none to patch."""


without_experts: Any = types.ModuleType("verl.utils.vllm.patch")
without_experts.patch_vllm_moe_model_weight_loader = no_experts
sys.modules["verl.utils.vllm.patch"] = without_experts
