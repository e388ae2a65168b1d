"""Runs untrusted SQL safely and judges it against a gold query.

The rest is in three rooms: `sql_reward.exact` (exact set match and schemas), `sql_reward.scoring` (many pairs and files
of them), `sql_reward.stats` (intervals and comparisons). Names are imported from their modules at first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sql_reward.errors import DatabaseNotFoundError as DatabaseNotFoundError
    from sql_reward.errors import DatabaseUnreadableError as DatabaseUnreadableError
    from sql_reward.errors import GoldSqlError as GoldSqlError
    from sql_reward.errors import LimitsError as LimitsError
    from sql_reward.errors import MachineError as MachineError
    from sql_reward.errors import SqlRewardError as SqlRewardError
    from sql_reward.errors import StalledError as StalledError
    from sql_reward.exact.levels import Hardness as Hardness
    from sql_reward.exact.levels import hardness as hardness
    from sql_reward.gold import GoldCache as GoldCache
    from sql_reward.judging import judge as judge
    from sql_reward.reward import PLAIN as PLAIN
    from sql_reward.reward import SHAPED as SHAPED
    from sql_reward.reward import RewardScale as RewardScale
    from sql_reward.reward import evaluate_query as evaluate_query
    from sql_reward.reward import reward_of as reward_of
    from sql_reward.rules.modes import Rules as Rules
    from sql_reward.sandbox.execute import Rows as Rows
    from sql_reward.sandbox.execute import SqlFailure as SqlFailure
    from sql_reward.sandbox.execute import run_sql as run_sql
    from sql_reward.sandbox.limits import Limits as Limits
    from sql_reward.verdict import Outcome as Outcome
    from sql_reward.verdict import SchemaOverlap as SchemaOverlap
    from sql_reward.verdict import Verdict as Verdict

__all__ = [  # noqa: RUF022  grouped by meaning
    # a verdict
    "judge",
    "Verdict",
    "Outcome",
    "SchemaOverlap",
    "Rules",
    "Limits",
    "GoldCache",
    # a number
    "evaluate_query",
    "reward_of",
    "RewardScale",
    "PLAIN",
    "SHAPED",
    # one statement
    "run_sql",
    "Rows",
    "SqlFailure",
    "hardness",
    "Hardness",
    # what is not the prediction's fault
    "SqlRewardError",
    "GoldSqlError",
    "DatabaseNotFoundError",
    "DatabaseUnreadableError",
    "MachineError",
    "StalledError",
    "LimitsError",
]

_HOMES = {
    "judging": ("judge",),
    "verdict": ("Outcome", "SchemaOverlap", "Verdict"),
    "rules.modes": ("Rules",),
    "sandbox.limits": ("Limits",),
    "gold": ("GoldCache",),
    "reward": ("PLAIN", "SHAPED", "RewardScale", "evaluate_query", "reward_of"),
    "sandbox.execute": ("Rows", "SqlFailure", "run_sql"),
    "exact.levels": ("Hardness", "hardness"),
    "errors": (
        "DatabaseNotFoundError",
        "DatabaseUnreadableError",
        "GoldSqlError",
        "LimitsError",
        "MachineError",
        "SqlRewardError",
        "StalledError",
    ),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
