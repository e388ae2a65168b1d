"""A person sees where a run is; a log file gets plain lines."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from lit_sql_trainer.runs import RunWatcher, append_line, create_run, events
from lit_sql_trainer.runs.console import LiveDisplay, PlainDisplay, duration, open_display
from lit_sql_trainer.runs.tally import tally

STEP: dict[str, Any] = {
    "step": 3,
    "reward": 0.51234,
    "outcomes": {"match": 8, "mismatch": 6, "sql_error": 1, "no_sql": 1},
    "dropped": 2,
    "tokens_per_s": 1234.4,
    "seconds": 2.25,
    "seconds_rollout": 1.5,
    "seconds_adapt": 0.1,
    "seconds_update": 0.75,
    "entropy": 0.4,
    "zero_variance_share": 0.25,
    "turns": 1.2,
}
VALIDATION: dict[str, Any] = {"step": 0, "reward": 0.6, "standard_error": 0.035, "rollouts": 200, "best": True}


def written(*, terminal: bool) -> tuple[Console, io.StringIO]:
    file = io.StringIO()
    return Console(file=file, force_terminal=terminal, width=160, highlight=False), file


def test_without_a_terminal_there_are_plain_lines() -> None:
    """One line an event, no control characters."""
    console, file = written(terminal=False)
    with open_display(10, console=console) as display:
        assert isinstance(display, PlainDisplay)
        display.note("run [here]")
        display.validation(VALIDATION)
        display.step(STEP)
    lines = file.getvalue().splitlines()
    assert lines[0] == "run [here]"
    assert lines[1] == "validation after step 0: 0.600 ± 0.035 (standard error; 200 tasks, greedy, best)"
    assert lines[2].startswith("step 3/10   reward 0.512  left 16 s")
    for part in ("step 3/10", "reward 0.512", "match 50%, mismatch 38%", "dropped 2", "tokens/s 1234", "update 0.8"):
        assert part in lines[2]
    assert "\x1b" not in file.getvalue()


def test_on_a_terminal_the_panel_shows_the_same() -> None:
    """Steps as rows, validations below, and nothing is drawn before the first event."""
    console, file = written(terminal=True)
    with open_display(10, console=console) as display:
        assert isinstance(display, LiveDisplay)
        assert file.getvalue() == ""
        display.validation(VALIDATION)
        for step in range(1, 21):
            display.step({**STEP, "step": step})
    text = file.getvalue()
    for part in ("validation after step 0: 0.600", "20/10", "0.512", "match 50%"):
        assert part in text


@pytest.mark.parametrize("width", [40, 60, 80, 100, 160])
def test_a_narrow_terminal_shows_what_matters_first(width: int) -> None:
    """Step, reward, validation and time left stand at any width; detail is left out whole, never cut."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=width, highlight=False, color_system=None)
    with open_display(100, console=console) as display:
        display.validation(VALIDATION)
        for step in range(1, 4):
            display.step({**STEP, "step": step})
    last = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line).rstrip() for line in file.getvalue().splitlines()]
    head = next(line for line in reversed(last) if "reward" in line and "step" in line)
    row = next(line for line in reversed(last) if "3/100" in line)
    assert head.split()[:4] == ["step", "reward", "validation", "left"]
    assert row.split()[:3] == ["3/100", "0.512", "0.600"]
    assert row.split()[4] == "min"
    assert "…" not in head + row
    assert max(map(len, (head, row))) <= width
    assert ("match 50%, mismatch 38%, sql_error 6%" in row) == (width >= 80)


def test_a_step_in_which_everything_was_dropped_can_be_shown() -> None:
    """There is no reward then, and that is not a zero."""
    console, file = written(terminal=False)
    with open_display(10, console=console) as display:
        display.step({"step": 1, "reward": None, "outcomes": {}, "dropped": 16})
    assert "reward –" in file.getvalue()


@pytest.mark.parametrize(("seconds", "told"), [(5, "5 s"), (89, "89 s"), (600, "10 min"), (9000, "2.5 h")])
def test_times_are_said_as_people_say_them(seconds: float, told: str) -> None:
    """Seconds, minutes, hours."""
    assert duration(seconds) == told


def test_outcomes_are_counted_over_rollouts_that_count() -> None:
    """A failed rollout has no outcome; it is in `dropped`."""
    records = [
        {"outcome": "match", "turns": 1, "failed": ""},
        {"outcome": "match", "turns": 2, "failed": ""},
        {"outcome": "", "turns": 0, "failed": "down"},
    ]
    counted = tally(records)
    assert (counted["outcomes"], counted["turn_counts"]) == ({"match": 2}, {"1": 1, "2": 1})


def test_each_event_takes_the_rollouts_since_the_last(tmp_path: Path) -> None:
    """The runners' lines are read once; one that is half written waits for the next event."""
    run = create_run(tmp_path, profile="tiny", config={})
    console, _ = written(terminal=False)
    with open_display(2, console=console) as display:
        watcher = RunWatcher(run, display)
        append_line(run.rollouts_file, {"outcome": "match", "turns": 1, "failed": ""})
        watcher.on_validation(VALIDATION)
        append_line(run.rollouts_file, {"outcome": "no_sql", "turns": 0, "failed": ""})
        with run.rollouts_file.open("a") as half:
            half.write('{"outcome": "mis')
        watcher.on_step({**STEP, "step": 1})
        with run.rollouts_file.open("a") as half:
            half.write('match", "turns": 1, "failed": ""}\n')
        watcher.on_step({**STEP, "step": 2})
    assert [line["outcomes"] for line in run.metrics()] == [{"match": 1}, {"no_sql": 1}, {"mismatch": 1}]
    assert len(events(run.metrics(), "step")) == 2
