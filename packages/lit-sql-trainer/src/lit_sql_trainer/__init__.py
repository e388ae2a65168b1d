"""Trains a small open model to write SQL as an agent.

Names are loaded when they are first used, because Agent-lightning takes a quarter of a minute to import.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

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

__all__ = [  # noqa: RUF022  grouped by meaning
    # the settings of a run
    "PROFILES",
    "profile_named",
    "Profile",
    "RolloutSettings",
    "configure",
    # training
    "LitSQLAgent",
    "train",
    "TrainResult",
    "dry_run",
    # VERL's own dictionary
    "RL_TRAINING_CONFIG",
    "verl_config",
    # what a model is worth
    "evaluate",
    "Evaluation",
    "Sampling",
    "Target",
    "find_target",
    "compare",
    "Comparison",
    # what can be refused
    "TrainerError",
]

_HOMES = {
    "agent.agent": ("LitSQLAgent",),
    "dryrun.run": ("dry_run",),
    "errors": ("TrainerError",),
    "evaluation.compare": ("Comparison", "compare"),
    "evaluation.plan": ("Sampling",),
    "evaluation.run": ("Evaluation", "evaluate"),
    "evaluation.targets": ("Target", "find_target"),
    "profile.named": ("PROFILES", "profile_named"),
    "profile.profile": ("Profile", "RolloutSettings"),
    "training.ending": ("TrainResult",),
    "training.train": ("configure", "train"),
    "verl.config": ("RL_TRAINING_CONFIG", "verl_config"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'lit_sql_trainer' has no attribute {name!r}")
    if name == "LitSQLAgent":  # imports the library, which reads the environment when it is imported
        from lit_sql_trainer.machine.environment import guard_environment

        guard_environment()
    value = getattr(import_module(f"lit_sql_trainer.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
