"""Imported by VERL's worker where an adapter is trained on a CPU: VERL takes one `external_lib`, and two are needed."""

from __future__ import annotations

from lit_sql_trainer.verl import cpu_vllm, lora_hook

__all__ = ["cpu_vllm", "lora_hook"]
