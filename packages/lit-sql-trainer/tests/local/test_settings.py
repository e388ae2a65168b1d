"""Settings are checked at birth and the error names the field."""

from __future__ import annotations

from typing import Any

import pytest

from lit_sql_trainer.errors import ConfigError
from lit_sql_trainer.profile.grpo import GrpoSettings


@pytest.mark.parametrize(
    "change",
    [
        {"steps": -1},
        {"tasks_per_step": 0},
        {"rollouts_per_task": 1},
        {"temperature": 0.0},
        {"learning_rate": float("nan")},
        {"learning_rate": float("inf")},
        {"beta2": 1.0},
        {"clip_low": 1.0},
        {"clip_high": -0.1},
        {"kl_coefficient": -1.0},
        {"mini_batches": 0},
        {"refill_factor": 2.01},
        {"refill_factor": 0.5},
        {"max_dropped_share": 1.5},
        {"max_new_tokens": 2048},
        {"poll_interval_s": 0.0},
        {"runner_timeout_s": 10.0},
        {"runner_timeout_s": float("inf")},
    ],
    ids=lambda change: "-".join(f"{name}={value}" for name, value in change.items()),
)
def test_nonsense_is_refused_by_name(change: dict[str, Any]) -> None:
    """Each value makes no sense, and the message names its field."""
    with pytest.raises(ConfigError, match=next(iter(change))):
        GrpoSettings(**change)


def test_edges_are_allowed() -> None:
    """The least and the most of the ranges are values like any other."""
    GrpoSettings(steps=0, warmup_steps=0, refill_factor=2.0, max_dropped_share=0.0, clip_low=0.0, validate_every=0)
