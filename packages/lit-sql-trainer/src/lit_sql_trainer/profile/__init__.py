"""Defines profiles and their settings: what they are, which are named, and how to change one."""

from __future__ import annotations

from lit_sql_trainer.profile.grpo import GrpoSettings, Weighting
from lit_sql_trainer.profile.monitors import MonitorSettings
from lit_sql_trainer.profile.named import LLAMA, NPU, PROFILES, QWEN, TINY, profile_named
from lit_sql_trainer.profile.overrides import apply_assignments, assignments, from_plain, to_plain
from lit_sql_trainer.profile.profile import TRAINED_NODES, Backend, Profile, RolloutSettings
from lit_sql_trainer.profile.verl import Strategy, VerlSettings

__all__ = [  # noqa: RUF022  grouped by meaning
    # the named ones
    "PROFILES",
    "profile_named",
    "LLAMA",
    "NPU",
    "QWEN",
    "TINY",
    # what one says
    "Profile",
    "Backend",
    "RolloutSettings",
    "TRAINED_NODES",
    "GrpoSettings",
    "Weighting",
    "MonitorSettings",
    "VerlSettings",
    "Strategy",
    # changing one, and its plain form
    "apply_assignments",
    "assignments",
    "from_plain",
    "to_plain",
]
