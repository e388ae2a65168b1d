"""Importing this module changes vLLM in this process: see `verl_lora`. VERL does so, as its `external_lib`."""

from __future__ import annotations

from lit_sql_trainer.verl.lora import apply

apply()
