"""VERL's workers on a machine without a GPU: what is missing on a CPU, added from outside.

Nothing of VERL, vLLM or torch is edited. Ray is told of a GPU that is not there, and every Ray process calls `apply`
before its work (`ray_options`). `configure` turns off what needs CUDA. Needs the CPU build of vLLM (dependency group
`proof`); made for verl 0.7.0 and vLLM 0.11.0. It shows that the loop is right, not how fast it is.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from typing import Any, cast

from lit_sql_trainer.profile.verl import Strategy

HOOK = "sql_train.proof.cpu.apply"
EXTERNAL_LIB = "sql_train.proof.cpu_vllm"
EXTERNAL_LIB_WITH_ADAPTER = "sql_train.proof.cpu_vllm_adapter"
OBJECT_STORE_BYTES = 512 * 2**20
KEY_VALUE_GIGABYTES = 1

ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": str(KEY_VALUE_GIGABYTES),
    "OMP_NUM_THREADS": "1",
    "GLOO_SOCKET_IFNAME": "lo",
    "RAY_DEDUP_LOGS": "0",
}


def environment(ranks: int) -> dict[str, str]:
    """Variables of every process. A rank's vLLM may use all cores; `nobind` ends in a segmentation fault in 0.11.0."""
    return {**ENVIRONMENT, "VLLM_CPU_OMP_THREADS_BIND": "|".join(["all"] * ranks)}


def apply() -> None:
    """Give `torch.cpu` the accelerator's interface, and have gloo do what NCCL is asked for.

    Called by Ray in each of its processes before anything else.
    """
    import torch
    import torch.distributed as dist

    module: Any = torch.cpu
    for name, stand_in in _stand_ins().items():
        if not hasattr(module, name):
            setattr(module, name, stand_in)
    original: Any = dist.init_process_group
    if getattr(original, "without_nccl", False):
        return

    def init_process_group(backend: str | None = None, *positional: Any, **named: Any) -> Any:
        """As torch's own; "cpu:gloo,cpu:nccl", which VERL asks for, means gloo."""
        return original("gloo" if backend and "nccl" in backend else backend, *positional, **named)

    init_process_group.without_nccl = True  # pyright: ignore[reportFunctionMemberAccess]  a mark for the next call
    dist.init_process_group = init_process_group
    _average_gradients(dist)
    _allow_weights_on_the_cpu()
    torch.set_num_threads(1)


def _average_gradients(dist: Any) -> None:
    """Asked for an average, gloo's `reduce_scatter_tensor` gives the sum (torch 2.8.0); FSDP2's gradients would be too
    large by the number of ranks.
    """
    original: Any = dist.reduce_scatter_tensor
    total, average = dist.ReduceOp.SUM, dist.ReduceOp.AVG

    def reduce_scatter_tensor(output: Any, input: Any, op: Any = total, group: Any = None) -> None:
        """As torch's own, which waits for the result where it is not asked to be asynchronous."""
        original(output, input, op=total if op == average else op, group=group)
        if op == average:
            output.div_(dist.get_world_size(group))

    dist.reduce_scatter_tensor = reduce_scatter_tensor


def _allow_weights_on_the_cpu() -> None:
    """FSDP1 refuses to hand out weights that lie on no GPU, though gloo can."""
    sharding: Any = importlib.import_module("torch.distributed.fsdp._init_utils")

    def accept(module_states: list[Any]) -> None:
        """Wherever they lie."""

    sharding._check_module_states_for_sync_module_states = accept


def ray_options(variables: Mapping[str, str], *, ranks: int = 1) -> dict[str, Any]:
    """`ray.init` with a pretended GPU a rank, and more CPUs than there are, because VERL's processes mostly wait."""
    return {
        "num_cpus": 16,
        "num_gpus": ranks,
        "include_dashboard": False,
        "log_to_driver": False,
        "object_store_memory": OBJECT_STORE_BYTES,
        "runtime_env": {"worker_process_setup_hook": HOOK, "env_vars": {**variables, **environment(ranks)}},
    }


def configure(config: dict[str, Any], *, ranks: int = 1, strategy: Strategy = Strategy.FSDP2) -> dict[str, Any]:
    """A VERL dictionary for so many workers, with all that needs CUDA turned off: float32, SDPA, no compilation."""
    adapter = bool(config["actor_rollout_ref"]["model"].get("lora_rank"))
    return _merged(
        config,
        {
            "actor_rollout_ref": {
                "actor": {
                    "strategy": strategy.value,
                    "use_torch_compile": False,
                    "fsdp_config": {"dtype": "float32"},
                },
                "rollout": {
                    "dtype": "float32",
                    "enforce_eager": True,
                    "free_cache_engine": False,
                    "enable_sleep_mode": False,
                    "agent": {"num_workers": 1},
                },
                "model": {
                    "use_remove_padding": False,
                    "external_lib": EXTERNAL_LIB_WITH_ADAPTER if adapter else EXTERNAL_LIB,
                    "override_config": {"attn_implementation": "sdpa"},
                },
            },
            "critic": {"strategy": strategy.value},
            "data": {"dataloader_num_workers": 0},
            "trainer": {"n_gpus_per_node": ranks, "nnodes": 1},
        },
    )


def prepare_environment(*, ranks: int = 1) -> None:
    """Set the variables of `environment` for this process too, which its Ray processes inherit."""
    os.environ.update(environment(ranks))


def _stand_ins() -> dict[str, Any]:
    import torch

    def seed(value: int) -> None:
        torch.manual_seed(value)  # pyright: ignore[reportUnknownMemberType]  torch leaves it untyped

    def get_state(device: object = None) -> torch.Tensor:
        return torch.get_rng_state()

    def set_state(state: torch.Tensor, device: object = None) -> None:
        torch.set_rng_state(state)

    def plenty(device: object = None) -> tuple[int, int]:
        return 0, 2**34

    def name(device: object = None) -> str:
        return "CPU"

    def nothing(*_: Any, **__: Any) -> None:
        """There is nothing to do on a CPU."""

    def zero(*_: Any, **__: Any) -> int:
        return 0

    return {
        "get_rng_state": get_state,
        "set_rng_state": set_state,
        "manual_seed": seed,
        "manual_seed_all": seed,
        "empty_cache": nothing,
        "ipc_collect": nothing,
        "reset_peak_memory_stats": nothing,
        "memory_allocated": zero,
        "memory_reserved": zero,
        "max_memory_allocated": zero,
        "max_memory_reserved": zero,
        "mem_get_info": plenty,
        "get_device_name": name,
    }


def _merged(config: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(config)
    for name, change in changes.items():
        before = merged.get(name)
        if isinstance(change, Mapping):
            change = _merged(before or {}, cast("Mapping[str, Any]", change))
        merged[name] = change
    return merged
