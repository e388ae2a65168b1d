"""Trains a small open model to write SQL as an agent.

Names are loaded when they are first used, because Agent-lightning takes a quarter of a minute to import.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lit_sql_trainer.agent.agent import LitSQLAgent
    from lit_sql_trainer.dryrun.run import dry_run
    from lit_sql_trainer.errors import TrainerError
    from lit_sql_trainer.evaluation.compare import Comparison, compare
    from lit_sql_trainer.evaluation.plan import Sampling
    from lit_sql_trainer.evaluation.run import Evaluation, evaluate
    from lit_sql_trainer.evaluation.targets import Target, find_target
    from lit_sql_trainer.profile.named import PROFILES, profile_named
    from lit_sql_trainer.profile.profile import Profile, RolloutSettings
    from lit_sql_trainer.training.ending import TrainResult
    from lit_sql_trainer.training.train import configure, train
    from lit_sql_trainer.verl.config import RL_TRAINING_CONFIG, verl_config

_HOME = {
    "LitSQLAgent": "agent.agent",
    "Profile": "profile.profile",
    "RolloutSettings": "profile.profile",
    "PROFILES": "profile.named",
    "RL_TRAINING_CONFIG": "verl.config",
    "profile_named": "profile.named",
    "verl_config": "verl.config",
    "configure": "training.train",
    "train": "training.train",
    "TrainResult": "training.ending",
    "dry_run": "dryrun.run",
    "evaluate": "evaluation.run",
    "Evaluation": "evaluation.run",
    "Sampling": "evaluation.plan",
    "Target": "evaluation.targets",
    "find_target": "evaluation.targets",
    "compare": "evaluation.compare",
    "Comparison": "evaluation.compare",
    "TrainerError": "errors",
}

__all__ = [
    "PROFILES",
    "RL_TRAINING_CONFIG",
    "Comparison",
    "Evaluation",
    "LitSQLAgent",
    "Profile",
    "RolloutSettings",
    "Sampling",
    "Target",
    "TrainResult",
    "TrainerError",
    "compare",
    "configure",
    "dry_run",
    "evaluate",
    "find_target",
    "profile_named",
    "train",
    "verl_config",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "LitSQLAgent":  # imports the library, which reads the environment at import
        from lit_sql_trainer.machine.environment import guard_environment

        guard_environment()
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
