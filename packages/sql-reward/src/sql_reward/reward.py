"""The only place where a verdict becomes a number.

The default scale is 1 for a match and 0 for anything else. A shaped scale gives part of it for queries on the right
track, and never so much that a wrong query beats a right one.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, fields
from typing import Final

from sql_reward.errors import LimitsError, SqlRewardError
from sql_reward.judging import judge
from sql_reward.paths import PathLike
from sql_reward.verdict import Outcome, Verdict

STEP: Final = 1 / 128
"""Rewards up to 1 are whole multiples of this, which bfloat16 represents exactly."""
MAX_PARTIAL: Final = 0.3
"""A wrong query gets at most this part of a match."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardScale:
    """What each kind of verdict is worth. A match is worth 1.

    With any partial credit, a task whose gold result is empty gives 0 to everyone: there, any query that finds nothing
    would match, so neither a match nor a miss says anything.
    """

    executable: float = 0.0
    """For a wrong query that ran to its end."""
    tables: float = 0.0
    """For reading the right tables: this times their F1. Needs a verdict with `overlap`."""
    columns: float = 0.0
    """For reading the right columns: this times their F1. Needs a verdict with `overlap`."""

    def __post_init__(self) -> None:
        parts = [getattr(self, field.name) for field in fields(self)]
        if not all(math.isfinite(part) and part >= 0 for part in parts) or sum(parts) > MAX_PARTIAL + 1e-9:
            raise LimitsError(
                "partial credit",
                self,
                f"finite, not negative, and at most {MAX_PARTIAL} in sum",
                "lower the parts so that no wrong query comes near a right one",
            )

    @property
    def shaped(self) -> bool:
        """Whether a wrong query can get anything."""
        return self.executable + self.tables + self.columns > 0


PLAIN: Final = RewardScale()
"""1 for a match, 0 for anything else: the official score."""
SHAPED: Final = RewardScale(executable=0.1, tables=0.1, columns=0.1)
"""Up to 0.3 for a wrong query that runs and reads the right tables and columns."""


def reward_of(verdict: Verdict, *, scale: RewardScale | None = None) -> float:
    """The reward of a verdict: from 0 to 1, exact in bfloat16.

    Raises:
        LimitsError: the scale needs the verdict's overlap and the verdict has none.
    """
    scale = scale or PLAIN
    if not scale.shaped:
        return 1.0 if verdict.matched else 0.0
    if verdict.gold_empty:
        return 0.0
    if verdict.matched:
        return 1.0
    if verdict.outcome is not Outcome.MISMATCH:
        return 0.0
    part = scale.executable
    if scale.tables or scale.columns:
        if verdict.overlap is None:
            raise LimitsError(
                "verdict.overlap",
                None,
                "a SchemaOverlap for a scale that counts tables or columns",
                "call judge(..., overlap=True)",
            )
        part += scale.tables * verdict.overlap.tables + scale.columns * verdict.overlap.columns
    return math.floor(part / STEP + 1e-9) * STEP


def evaluate_query(query: str | None, ground_truth: str, database: PathLike, raise_on_error: bool = True) -> float:
    """The reward of one query on one SQLite file: 1.0 if it answers as the gold query does, else 0.0.

    By the official rules and the plain scale. Our own faults raise; with `raise_on_error=False` they are logged,
    without the gold query, and give 0.0, which a trainer cannot tell from a wrong query.

    Raises:
        SqlRewardError: the gold query fails, or the database is missing or unreadable.
    """
    try:
        return reward_of(judge(query, ground_truth, database))
    except SqlRewardError as error:
        if raise_on_error:
            raise
        _log.error("no reward on %s: %s; it counts as 0", database, type(error).__name__)
        return 0.0
