"""Runs untrusted SQL safely and judges it against a gold query."""

from sql_reward.errors import (
    DatabaseNotFound,
    DatabaseUnreadable,
    GoldSqlError,
    LimitsError,
    SqlRewardError,
    Stalled,
)
from sql_reward.execute import Rows, SqlFailure, run_sql
from sql_reward.gold import GoldCache
from sql_reward.judge import judge
from sql_reward.limits import Limits
from sql_reward.reward import PLAIN, SHAPED, RewardScale, evaluate_query, reward_of
from sql_reward.rules import Rules
from sql_reward.verdict import Outcome, SchemaOverlap, Verdict

__all__ = [
    "PLAIN",
    "SHAPED",
    "DatabaseNotFound",
    "DatabaseUnreadable",
    "GoldCache",
    "GoldSqlError",
    "Limits",
    "LimitsError",
    "Outcome",
    "RewardScale",
    "Rows",
    "Rules",
    "SchemaOverlap",
    "SqlFailure",
    "SqlRewardError",
    "Stalled",
    "Verdict",
    "evaluate_query",
    "judge",
    "reward_of",
    "run_sql",
]
