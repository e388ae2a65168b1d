"""Imported by VERL's worker where an adapter is trained on a CPU: VERL takes one `external_lib`, and two are needed."""

from __future__ import annotations

from lit_sql_trainer.verl import lora_hook
from sql_train.proof import cpu_vllm

__all__ = ["cpu_vllm", "lora_hook"]
