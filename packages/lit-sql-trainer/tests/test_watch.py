"""What a run writes and says as it goes: alarms, the end that follows from them, and the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lit_sql_trainer.profile import MonitorSettings
from lit_sql_trainer.report import report_or_say
from lit_sql_trainer.runs import RunFolder, RunWatcher, create_run, events

STEP: dict[str, Any] = {"reward": 0.5, "rollouts": 16, "zero_variance_share": 1.0, "seconds": 1.0}
VALIDATION: dict[str, Any] = {"reward": 0.5, "standard_error": 0.03, "rollouts": 20, "seconds": 1.0}


class Notes:
    """A display that keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def __enter__(self) -> Notes:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to put away."""

    def step(self, metrics: Any) -> None:
        """Not looked at here."""

    def validation(self, metrics: Any) -> None:
        """Not looked at here."""

    def note(self, text: str) -> None:
        """Kept."""
        self.notes.append(text)


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return create_run(tmp_path, profile="tiny", config={"name": "tiny"})


def watched(run: RunFolder, steps: range, **settings: Any) -> tuple[RunWatcher, Notes]:
    """A watcher that was told of these steps, in none of which a group had variance."""
    display = Notes()
    watcher = RunWatcher(run, display, monitors=MonitorSettings(**settings), report=report_or_say)
    for step in steps:
        watcher.on_step({**STEP, "step": step})
    return watcher, display


def test_an_alarm_is_a_line_and_a_note(run: RunFolder) -> None:
    """Once, at the first step at which it can be told; the run goes on."""
    watcher, display = watched(run, range(1, 16))
    alarms = events(run.metrics(), "alarm")
    assert [(alarm["step"], alarm["monitor"]) for alarm in alarms] == [(10, "zero_variance")]
    assert display.notes == [f"alarm after step 10, zero_variance: {alarms[0]['text']}"]
    assert not watcher.should_stop()


def test_an_alarm_ends_the_run_when_it_was_told_to(run: RunFolder) -> None:
    """The reason names the monitor and its numbers."""
    watcher, _ = watched(run, range(1, 10), stop_on_alarm=True)
    assert not watcher.should_stop()
    watcher.on_step({**STEP, "step": 10})
    assert watcher.should_stop()
    assert watcher.alarm.startswith("zero_variance: 100% of the groups")


def test_a_resumed_run_is_not_ended_by_the_alarm_it_had(run: RunFolder) -> None:
    """Whoever resumes it has read of it; only a further alarm ends it again."""
    watched(run, range(1, 12), stop_on_alarm=True)
    watcher, display = watched(run, range(12, 20), stop_on_alarm=True)
    assert not watcher.should_stop()
    assert display.notes == []


def test_validation_without_gain_ends_the_run(run: RunFolder) -> None:
    """After as many as was asked for; a resumed run knows the earlier ones."""
    watcher = RunWatcher(run, Notes(), monitors=MonitorSettings(patience=2))
    for step, reward in enumerate((0.5, 0.6, 0.61)):
        watcher.on_validation({**VALIDATION, "step": step, "reward": reward})
    assert not watcher.should_stop()
    again = RunWatcher(run, Notes(), monitors=MonitorSettings(patience=2))
    again.on_validation({**VALIDATION, "step": 3, "reward": 0.62})
    assert again.should_stop()
    assert "2 validations in a row" in again.out_of_patience


def test_the_report_grows_with_the_run(run: RunFolder) -> None:
    """Each validation writes it anew, whole."""
    watcher = RunWatcher(run, Notes(), report=report_or_say)
    sizes: list[int] = []
    for step in range(3):
        watcher.on_validation({**VALIDATION, "step": step})
        text = run.report_file.read_text()
        assert text.rstrip().endswith("</html>")
        sizes.append(len(text))
    assert sizes == sorted(sizes)


def test_a_report_that_fails_does_not_end_the_run(run: RunFolder) -> None:
    """The person is told why; the metrics are written all the same."""
    run.report_file.mkdir()  # so that no file can take its place
    watcher, display = watched(run, range(0))
    watcher.on_validation({**VALIDATION, "step": 0})
    assert len(display.notes) == 1
    assert "the report could not be written (RunError: cannot write" in display.notes[0]
    assert len(events(run.metrics(), "validation")) == 1
    assert [path.name for path in run.path.glob(".*")] == []
