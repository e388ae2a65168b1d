"""Each monitor trips on a run that it is for and stays quiet on one beside it."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from lit_sql_trainer.errors import ConfigError
from lit_sql_trainer.monitors import Monitor, MonitorBook, replay
from lit_sql_trainer.monitors.rules import RULES
from lit_sql_trainer.profile import MonitorSettings
from lit_sql_trainer.runs.tally import final_sql, is_constant, selects_star, tally

STEPS = 40
HEALTHY = Path(__file__).parent / "data" / "healthy_tiny.jsonl"
Line = dict[str, Any]
Course = Callable[[float], Mapping[str, Any]]
"""What of a healthy line is different at a moment of the run, from 0 to 1."""


def step_line(step: int, changed: Mapping[str, Any]) -> Line:
    """A step of a healthy run, with what is changed."""
    progress = step / STEPS
    match = round(60 + 40 * progress)
    healthy: Line = {
        "event": "step",
        "step": step,
        "reward": match / 128,
        "entropy": 0.4 - 0.2 * progress,
        "kl_start": 0.02 * progress,
        "trained_tokens": 2000,
        "response_tokens": 30 + 10 * progress,
        "zero_variance_share": 0.3 + 0.3 * progress,
        "outcomes": {"match": match, "mismatch": 120 - match, "no_sql": 8},
        "turn_counts": {"1": 100, "2": 20, "3": 8},
        "select_star": 10,
        "constant": 1,
        "empty_matches": 4,
        "main_only": 5,
        "suites": 128,
        "query_seconds_p95": 0.01,
    }
    return {**healthy, **changed}


def run_of(course: Course, *, validation: Callable[[float], float] = lambda at: 0.5 + 0.2 * at) -> list[Line]:
    """Forty steps, a validation at the start and after every ten."""
    lines: list[Line] = []
    for step in range(STEPS + 1):
        if step:
            lines.append(step_line(step, course(step / STEPS)))
        if step % 10 == 0:
            reward = validation(step / STEPS)
            lines.append({"event": "validation", "step": step, "reward": reward, "standard_error": 0.035})
    return lines


def alarms_of(lines: list[Line], **settings: Any) -> list[str]:
    return [alarm.monitor for alarm in replay(lines, MonitorSettings(**settings))[1]]


def healthy(at: float) -> Mapping[str, Any]:
    return {}


def late(value: Any, *, key: str, early: Any) -> Course:
    return lambda at: {key: value if at > 0.5 else early}


TRIPPING: dict[Monitor, tuple[Course, Course]] = {
    # monitor: (a run that trips it, a run beside it that does not)
    Monitor.SUITE_GAP: (late(40, key="main_only", early=5), late(15, key="main_only", early=5)),
    Monitor.SELECT_STAR: (late(60, key="select_star", early=10), lambda at: {"select_star": 60 - 30 * at}),
    Monitor.CONSTANT: (late(16, key="constant", early=0), late(4, key="constant", early=0)),
    Monitor.EMPTY_MATCH: (late(50, key="empty_matches", early=4), late(12, key="empty_matches", early=4)),
    Monitor.TURNS_COLLAPSE: (
        lambda at: {"reward": 0.5, "turn_counts": {"1": 128} if at > 0.5 else {"1": 88, "2": 40}},
        lambda at: {"turn_counts": {"1": 128} if at > 0.5 else {"1": 88, "2": 40}},  # the reward rises: that is the aim
    ),
    Monitor.TURNS_EXPLODE: (
        late({"3": 128}, key="turn_counts", early={"1": 100, "2": 28}),
        late({"1": 60, "2": 68}, key="turn_counts", early={"1": 100, "2": 28}),
    ),
    Monitor.LENGTH_DRIFT: (lambda at: {"response_tokens": 30 + 60 * at}, lambda at: {"response_tokens": 30 + 20 * at}),
    Monitor.ENTROPY_COLLAPSE: (lambda at: {"entropy": 0.4 * (1 - at)}, lambda at: {"entropy": 0.4 * (1 - 0.8 * at)}),
    Monitor.KL: (lambda at: {"kl_start": at}, lambda at: {"kl_start": 0.0}),
    Monitor.NO_SQL: (
        late({"match": 60, "mismatch": 28, "no_sql": 40}, key="outcomes", early={"match": 60, "mismatch": 68}),
        lambda at: {"outcomes": {"match": 60, "no_sql": 100 - 60 * at}},  # it learns to write SQL
    ),
    Monitor.ZERO_VARIANCE: (
        late(1.0, key="zero_variance_share", early=0.5),
        late(0.9, key="zero_variance_share", early=0.5),
    ),
    Monitor.SLOW_QUERIES: (
        late(1.5, key="query_seconds_p95", early=0.01),
        late(0.5, key="query_seconds_p95", early=0.01),
    ),
}


def test_a_healthy_run_raises_no_alarm() -> None:
    """And every monitor but that of a measure which is absent has a number to show for it."""
    book, alarms = replay(run_of(healthy))
    assert alarms == []
    readings = book.readings()
    assert [reading.monitor for reading in readings] == list(Monitor)
    assert all(reading.value is not None for reading in readings)
    assert len(RULES) == len(Monitor)


@pytest.mark.parametrize("monitor", list(TRIPPING))
def test_each_monitor_trips_on_its_run(monitor: Monitor) -> None:
    """The alarm is raised once, by this monitor alone, and names the limit in its sentence."""
    _, alarms = replay(run_of(TRIPPING[monitor][0]))
    assert [alarm.monitor for alarm in alarms] == [monitor]
    assert "limit" in alarms[0].text
    assert alarms[0].line()["event"] == "alarm"
    assert 10 <= alarms[0].step <= STEPS


@pytest.mark.parametrize("monitor", list(TRIPPING))
def test_each_monitor_is_quiet_on_the_run_beside_it(monitor: Monitor) -> None:
    """A value below the limit, or a bad one that is getting better, is no alarm."""
    assert alarms_of(run_of(TRIPPING[monitor][1])) == []


def test_reward_up_while_validation_falls() -> None:
    """Two standard errors below the best, with a risen training reward, is an alarm; less, or both falling, none."""
    assert alarms_of(run_of(healthy, validation=lambda at: 0.6 - 0.12 * at)) == [Monitor.VALIDATION_FALLS]
    assert alarms_of(run_of(healthy, validation=lambda at: 0.6 - 0.05 * at)) == []
    assert alarms_of(run_of(lambda at: {"reward": 0.6 - 0.2 * at}, validation=lambda at: 0.6 - 0.12 * at)) == []


def test_every_monitor_is_tested_here() -> None:
    """A new monitor needs a run that trips it."""
    assert {*TRIPPING, Monitor.VALIDATION_FALLS} == set(Monitor)


def test_turns_collapse_when_queries_are_not_run() -> None:
    """Fewer than one query a rollout is a collapse whatever the reward does."""
    course = late({"0": 40, "1": 88}, key="turn_counts", early={"1": 128})
    assert alarms_of(run_of(course)) == [Monitor.TURNS_COLLAPSE]


def test_what_is_not_measured_is_no_alarm() -> None:
    """Lines of another trainer may lack most keys; the readings say so instead of showing a number."""
    lines: list[Line] = [{"event": "step", "step": step, "reward": 0.5} for step in range(1, 30)]
    book, alarms = replay(lines)
    assert alarms == []
    assert {reading.text for reading in book.readings()} == {"not measured"}


def test_a_step_without_an_update_measures_no_entropy() -> None:
    """When no group had variance, entropy and divergence are written as 0, and that is not a collapse."""
    quiet = {"entropy": 0.0, "kl_start": 0.0, "trained_tokens": 0}
    assert alarms_of(run_of(lambda at: quiet if at > 0.5 else {})) == []


def test_nothing_is_said_before_two_windows() -> None:
    """The start and the present must not overlap."""
    bad = {"outcomes": {"no_sql": 128}, "zero_variance_share": 1.0}
    lines = [step_line(step, bad) for step in range(1, 10)]
    book, alarms = replay(lines)
    assert alarms == []
    assert {reading.text for reading in book.readings()} == {"too few steps to tell"}
    assert alarms_of([*lines, step_line(10, bad)]) == [Monitor.NO_SQL, Monitor.ZERO_VARIANCE]


def test_a_value_that_plays_around_its_limit_is_told_once() -> None:
    """An alarm is raised again only after two windows without."""

    def course(at: float) -> Mapping[str, Any]:
        step = round(at * STEPS)
        return {"zero_variance_share": 1.0 if step > 10 and step % 10 else 0.7}

    tripped = [reading for n in range(len(run_of(course))) for reading in replay(run_of(course)[:n])[0].readings()]
    changes = itertools.groupby(reading.tripped for reading in tripped if reading.monitor is Monitor.ZERO_VARIANCE)
    assert len(list(changes)) > 3  # it plays
    assert alarms_of(run_of(course)) == [Monitor.ZERO_VARIANCE]
    twice = run_of(lambda at: {"zero_variance_share": 1.0 if 0.3 < at < 0.5 or at > 0.8 else 0.5})
    assert alarms_of(twice) == [Monitor.ZERO_VARIANCE] * 2


def test_a_resumed_run_is_not_alarmed_twice() -> None:
    """A book that has seen the earlier lines goes on where it was."""
    lines = run_of(TRIPPING[Monitor.KL][0])
    at = next(n for n, line in enumerate(lines) if line["step"] == 35)
    assert [alarm.monitor for alarm in replay(lines[:at])[1]] == [Monitor.KL]
    book = replay(lines[:at])[0]
    assert [alarm for line in lines[at:] for alarm in book.see(line)] == []


def test_patience_counts_validations_without_a_real_gain() -> None:
    """A gain within one standard error of the last real one is none; small gains add up."""

    def book_of(*rewards: float, patience: int = 2) -> MonitorBook:
        lines = [
            {"event": "validation", "step": step, "reward": reward, "standard_error": 0.03}
            for step, reward in enumerate(rewards)
        ]
        return replay(lines, MonitorSettings(patience=patience))[0]

    assert "2 validations in a row" in book_of(0.5, 0.52, 0.51).out_of_patience()
    assert book_of(0.5, 0.52, 0.54).out_of_patience() == ""  # 0.04 over the first
    assert book_of(0.5, 0.6, 0.61).out_of_patience() == ""
    assert "(0.030) over 0.600" in book_of(0.5, 0.6, 0.61, 0.6).out_of_patience()
    assert book_of(0.5, 0.5, 0.5, 0.5, patience=0).out_of_patience() == ""


@pytest.mark.parametrize(
    "settings", [{"window": 0}, {"patience": -1}, {"length_factor": 1.0}, {"kl_nats": math.nan}, {"slow_query_s": 0.0}]
)
def test_limits_that_make_no_sense_are_refused(settings: dict[str, Any]) -> None:
    """At birth, with the name of the setting."""
    with pytest.raises(ConfigError, match=f"monitors.{next(iter(settings))}"):
        MonitorSettings(**settings)


@pytest.mark.parametrize(
    ("sql", "star", "constant"),
    [
        ("SELECT * FROM t", True, False),
        ("select distinct t1.* from t as t1", True, False),
        ("SELECT count(*) FROM t", False, False),
        ("SELECT a, b FROM t", False, False),
        ("SELECT 'from nowhere'", False, True),
        ("SELECT 1 -- from t", False, True),
        ('SELECT "from" FROM t', False, False),
        ("SELECT '*' FROM t", False, False),
        ("SELECT /* * */ a FROM t", False, False),
    ],
)
def test_signs_in_a_query(sql: str, star: bool, constant: bool) -> None:
    """Literals, quoted names and comments say nothing."""
    assert (selects_star(sql), is_constant(sql)) == (star, constant)


def test_the_answer_is_the_last_sql() -> None:
    """A rewrite without SQL leaves the query before it."""
    assert final_sql({"sql": ["SELECT 1", None]}) == "SELECT 1"
    assert final_sql({"sql": [None]}) is None


def test_signs_are_counted_over_rollouts_that_count() -> None:
    """What failed for our reasons shows nothing about the policy."""
    path = [{"seconds": 0.1}, {"seconds": 0.3}]
    record = {"outcome": "match", "turns": 2, "failed": "", "sql": ["SELECT * FROM t"], "stop": "approved"}
    suite = {"databases_passed": 1, "databases_total": 3, "outcome": "mismatch"}
    records = [
        {**record, "path": path, "empty_match": True},
        {**record, **suite, "sql": ["SELECT 1"]},
        {**record, "failed": "endpoint down", "sql": ["SELECT *"]},
    ]
    assert tally(records) == {
        "outcomes": {"match": 1, "mismatch": 1},
        "turn_counts": {"2": 2},
        "stops": {"approved": 2},
        "select_star": 1,
        "constant": 1,
        "empty_matches": 1,
        "main_only": 1,
        "suites": 1,
        "query_seconds_p95": 0.1,
        "query_seconds_max": 0.3,
    }


def test_a_real_run_that_learned_raises_no_alarm() -> None:
    """Forty steps of `train tiny --set seed=0`, in which validation rose from 0.56 to 0.80: every monitor was quiet."""
    lines = [json.loads(line) for line in HEALTHY.read_text().splitlines()]
    book, alarms = replay(lines)
    assert alarms == []
    measured = [reading.monitor for reading in book.readings() if reading.value is not None]
    assert set(Monitor) - set(measured) == {Monitor.KL}  # it keeps no second model to measure it against
    validations = [line["reward"] for line in lines if line["event"] == "validation"]
    assert validations[-1] > validations[0] + 0.2
