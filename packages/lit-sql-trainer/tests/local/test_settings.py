"""Settings are checked at birth and the error names the field."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import pytest

from lit_sql_trainer.errors import ConfigError, SettingsError
from lit_sql_trainer.profile import TINY, GrpoSettings


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
        {"steps": 2.5},
        {"steps": 2.0},
        {"steps": True},
        {"steps": "2"},
        {"temperature": True},
        {"temperature": "0.5"},
        {"normalise_advantages": 1},
        {"weighting": "rollout"},
        {"clip_high": float("inf")},
        {"kl_coefficient": float("nan")},
    ],
    ids=lambda change: "-".join(f"{name}={value}" for name, value in change.items()),
)
def test_nonsense_is_refused_by_name(change: dict[str, Any]) -> None:
    """Each value makes no sense, and the message names its field as --set does, what it is and what it must be."""
    with pytest.raises(SettingsError) as caught:
        GrpoSettings(**change)
    (problem,) = caught.value.problems
    assert problem.setting == f"grpo.{next(iter(change))}"
    assert problem.found == repr(next(iter(change.values())))
    assert str(caught.value) == f"--set {problem.setting}={problem.found}: expected {problem.expected}"


def test_every_wrong_value_is_named_at_once() -> None:
    """And the error crosses to another process as it is."""
    with pytest.raises(SettingsError) as caught:
        GrpoSettings(steps=-1, temperature=0.0, clip_low=2.0)
    assert [problem.setting for problem in caught.value.problems] == ["grpo.steps", "grpo.temperature", "grpo.clip_low"]
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.problems, str(again)) == (caught.value.problems, str(caught.value))
    assert isinstance(again, ConfigError)


@pytest.mark.parametrize(
    ("change", "setting"),
    [
        ({"runners": 2.5}, "runners"),
        ({"runners": True}, "runners"),
        ({"data": "data"}, "data"),
        ({"train_tasks": 0}, "train_tasks"),
        ({"max_span_megabytes": 0}, "max_span_megabytes"),
        ({"rollout": {}}, "rollout"),
    ],
)
def test_a_profile_is_strict_too(change: dict[str, Any], setting: str) -> None:
    """A whole number is no fraction and no boolean, a path is no text, a part is no dictionary."""
    with pytest.raises(SettingsError) as caught:
        replace(TINY, **change)
    assert [problem.setting for problem in caught.value.problems] == [setting]


def test_a_setting_that_does_not_exist_is_refused() -> None:
    """As a misspelt keyword is."""
    with pytest.raises(SettingsError, match="no such setting, only steps, tasks_per_step"):
        replace(TINY.local, stepz=3)  # pyright: ignore[reportCallIssue]  that is the test


def test_edges_are_allowed() -> None:
    """The least and the most of the ranges are values like any other."""
    GrpoSettings(steps=0, warmup_steps=0, refill_factor=2.0, max_dropped_share=0.0, clip_low=0.0, validate_every=0)
