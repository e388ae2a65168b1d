"""Judges many pairs at once: files of them, worker processes, and what the results add up to.

Names are imported at first use: scoring needs `multiprocessing`, a reward in a training loop does not.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sql_reward.errors import InputError as InputError
    from sql_reward.errors import OutputError as OutputError
    from sql_reward.scoring.official import read_official_pairs as read_official_pairs
    from sql_reward.scoring.pairs import BadRow as BadRow
    from sql_reward.scoring.pairs import Pair as Pair
    from sql_reward.scoring.pairs import read_pairs as read_pairs
    from sql_reward.scoring.report import ScoreReport as ScoreReport
    from sql_reward.scoring.score import PairResult as PairResult
    from sql_reward.scoring.score import ScoreOptions as ScoreOptions
    from sql_reward.scoring.score import score_pairs as score_pairs
    from sql_reward.scoring.workers import WorkersFailedError as WorkersFailedError

__all__ = [  # noqa: RUF022  grouped by meaning
    # pairs, and files of them
    "Pair",
    "BadRow",
    "read_pairs",
    "read_official_pairs",
    # judging all of them
    "score_pairs",
    "ScoreOptions",
    "PairResult",
    "ScoreReport",
    # what ends a run
    "InputError",
    "OutputError",
    "WorkersFailedError",
]

_HOMES = {
    "scoring.pairs": ("BadRow", "Pair", "read_pairs"),
    "scoring.official": ("read_official_pairs",),
    "scoring.score": ("PairResult", "ScoreOptions", "score_pairs"),
    "scoring.report": ("ScoreReport",),
    "errors": ("InputError", "OutputError"),
    "scoring.workers": ("WorkersFailedError",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"sql_reward.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
