"""Runs untrusted SQL safely and judges it against a gold query."""

import importlib
from typing import TYPE_CHECKING, Any

from sql_reward.errors import (
    DatabaseNotFoundError,
    DatabaseUnreadableError,
    GoldSqlError,
    InputError,
    LimitsError,
    MachineError,
    SqlRewardError,
    StalledError,
)
from sql_reward.exact.hardness import Hardness, hardness
from sql_reward.exact.match import Component, ExactMatch, exact_match
from sql_reward.exact.parser import UnparsableSqlError
from sql_reward.exact.schema import Schema, SchemaError, read_schema, read_schemas
from sql_reward.gold import GoldCache
from sql_reward.judge import judge
from sql_reward.reward import PLAIN, SHAPED, RewardScale, evaluate_query, reward_of
from sql_reward.rules.modes import Rules
from sql_reward.sandbox.execute import Rows, SqlFailure, run_sql
from sql_reward.sandbox.limits import Limits
from sql_reward.stats import (
    Interval,
    PairedComparison,
    compare_paired,
    majority_vote,
    mcnemar_p,
    newcombe_interval,
    pass_at_k,
    result_digest,
    wilson_interval,
)
from sql_reward.verdict import Outcome, SchemaOverlap, Verdict

if TYPE_CHECKING:
    from sql_reward.scoring.official import read_official_pairs
    from sql_reward.scoring.pairs import BadRow, Pair, read_pairs
    from sql_reward.scoring.report import ScoreReport
    from sql_reward.scoring.score import PairResult, ScoreOptions, score_pairs
    from sql_reward.scoring.workers import WorkersFailedError

_LOADED_ON_USE = {
    "BadRow": "sql_reward.scoring.pairs",
    "Pair": "sql_reward.scoring.pairs",
    "read_official_pairs": "sql_reward.scoring.official",
    "read_pairs": "sql_reward.scoring.pairs",
    "ScoreReport": "sql_reward.scoring.report",
    "PairResult": "sql_reward.scoring.score",
    "ScoreOptions": "sql_reward.scoring.score",
    "score_pairs": "sql_reward.scoring.score",
    "WorkersFailedError": "sql_reward.scoring.workers",
}
"""Scoring many pairs at once needs `multiprocessing`; a reward in a training loop does not."""


def __getattr__(name: str) -> Any:
    if name in _LOADED_ON_USE:
        return getattr(importlib.import_module(_LOADED_ON_USE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "PLAIN",
    "SHAPED",
    "BadRow",
    "Component",
    "DatabaseNotFoundError",
    "DatabaseUnreadableError",
    "ExactMatch",
    "GoldCache",
    "GoldSqlError",
    "Hardness",
    "InputError",
    "Interval",
    "Limits",
    "LimitsError",
    "MachineError",
    "Outcome",
    "Pair",
    "PairResult",
    "PairedComparison",
    "RewardScale",
    "Rows",
    "Rules",
    "Schema",
    "SchemaError",
    "SchemaOverlap",
    "ScoreOptions",
    "ScoreReport",
    "SqlFailure",
    "SqlRewardError",
    "StalledError",
    "UnparsableSqlError",
    "Verdict",
    "WorkersFailedError",
    "compare_paired",
    "evaluate_query",
    "exact_match",
    "hardness",
    "judge",
    "majority_vote",
    "mcnemar_p",
    "newcombe_interval",
    "pass_at_k",
    "read_official_pairs",
    "read_pairs",
    "read_schema",
    "read_schemas",
    "result_digest",
    "reward_of",
    "run_sql",
    "score_pairs",
    "wilson_interval",
]
