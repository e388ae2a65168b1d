"""Ray's part of a run: it gets a second chance to start, and errors from inside keep their type. Needs verl and Ray."""

from __future__ import annotations

import subprocess

import pytest

pytest.importorskip("verl", reason="needs the `app` or `proof` dependency group")

import ray
from ray.exceptions import RayTaskError

from lit_sql_trainer.errors import FailureLimitError, RunError, SetupError
from lit_sql_trainer.verl import algorithm


def test_an_error_of_ours_comes_out_as_it_went_in() -> None:
    """Through one task or two."""
    ours = FailureLimitError("6 of the last 9 rollouts failed")
    inner = RayTaskError("collect", "traceback", ours)
    assert algorithm._own_error(inner) is ours
    assert algorithm._own_error(RayTaskError("run", "traceback", inner)) is ours


def test_an_error_of_another_says_where_it_was() -> None:
    """One line, not a traceback of Ray's."""
    raised = RayTaskError("run", "File x.py\nValueError: no such tensor", ValueError("no such tensor"))
    told = algorithm._own_error(raised)
    assert isinstance(told, RunError)
    assert str(told).startswith("training failed inside VERL: ")
    assert "\n" not in str(told)


def test_ray_may_be_slow_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice it times out, then it is up; three times is the end."""
    outcomes = [Exception("timed out during startup"), Exception("timed out during startup"), None]
    calls: list[dict[str, object]] = []

    def init(**options: object) -> None:
        calls.append(options)
        outcome = outcomes[(len(calls) - 1) % 3] if len(calls) <= 3 else outcomes[0]
        if outcome is not None:
            raise outcome

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray, "init", init)
    algorithm._start_ray({"num_gpus": 1})
    assert calls == [{"num_gpus": 1}] * 3
    with pytest.raises(SetupError, match="3 attempts: timed out"):
        algorithm._start_ray({"num_gpus": 1})


def test_a_failed_start_leaves_nobody_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """What came up of Ray is ended, what was there before is not."""
    sleeper = ["sleep", "60"]
    mine, rays = subprocess.Popen(sleeper), []

    def init(**options: object) -> None:
        rays.append(subprocess.Popen(sleeper))
        raise Exception("timed out during startup")

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray, "init", init)
    try:
        with pytest.raises(SetupError):
            algorithm._start_ray({})
        assert [process.wait(timeout=20) for process in rays] == [-9, -9, -9]
        assert mine.poll() is None
    finally:
        mine.kill()
        mine.wait()


def test_a_cluster_keeps_its_own_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where RAY_ADDRESS names one, only the environment of its workers is ours to say."""
    calls: list[dict[str, object]] = []
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    monkeypatch.setattr(ray, "init", lambda **options: calls.append(options))
    algorithm._start_ray({"num_gpus": 1, "runtime_env": {"env_vars": {}}})
    assert calls == [{"runtime_env": {"env_vars": {}}}]
