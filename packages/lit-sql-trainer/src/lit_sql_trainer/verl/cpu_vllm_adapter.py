"""Imported by VERL's worker where an adapter is trained on a CPU: VERL takes one `external_lib`, and two are needed."""

from __future__ import annotations

from lit_sql_trainer import verl_lora_hook
from lit_sql_trainer.verl import cpu_vllm

__all__ = ["cpu_vllm", "verl_lora_hook"]
