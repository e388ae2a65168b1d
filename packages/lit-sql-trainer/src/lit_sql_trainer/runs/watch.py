"""What a run writes and shows as it goes: one observer of the algorithm, two places to look.

Every step and validation becomes a line of `metrics.jsonl` first, then a line or a live panel for the person at the
terminal. Monitors read the same lines; their alarms become lines too. The algorithm knows nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from lit_sql_trainer.monitors import replay
from lit_sql_trainer.profile.monitors import MonitorSettings
from lit_sql_trainer.rollouts.metrics import MetricLine, StepMetrics, ValidationMetrics
from lit_sql_trainer.runs.console import Display
from lit_sql_trainer.runs.folder import RunFolder, append_line, parse_line
from lit_sql_trainer.runs.tally import tally


class RunWatcher:
    """The algorithm's observer: keeps the run folder up to date, tells the display, and says when to stop.

    The runners' own lines in `rollouts.jsonl` complete the algorithm's numbers: it sees rewards, they saw outcomes.
    Lines that a resumed run has already are read first, so that monitors and patience go on where they were.

    Args:
        report: writes the report anew, after each validation.
    """

    def __init__(
        self,
        run: RunFolder,
        display: Display,
        *,
        monitors: MonitorSettings | None = None,
        report: Callable[[RunFolder, Display], object] = lambda run, display: None,
    ) -> None:
        self._run = run
        self._display = display
        self._report = report
        self._rollouts = NewLines(run.rollouts_file)
        self._settings = monitors or MonitorSettings()
        self._book, _ = replay(run.metrics(), self._settings)
        self.steps = 0
        """The last step that was finished."""
        self.alarm = ""
        """The alarm that ends the run; empty as long as none does."""

    @property
    def out_of_patience(self) -> str:
        """Why validation ends the run early; empty as long as it does not."""
        return self._book.out_of_patience()

    def should_stop(self) -> bool:
        """Whether an alarm or validation ends the run."""
        return bool(self.alarm or self.out_of_patience)

    def on_step(self, metrics: StepMetrics) -> None:
        """A step's numbers."""
        self.steps = int(metrics["step"])
        line = cast("MetricLine", {"event": "step", **metrics, **tally(self._rollouts.read())})
        append_line(self._run.metrics_file, line)
        self._display.step(line)
        self._watch(line)

    def on_validation(self, metrics: ValidationMetrics) -> None:
        """A validation's numbers, after which the report is written anew."""
        line = cast("MetricLine", {"event": "validation", **metrics, **tally(self._rollouts.read())})
        append_line(self._run.metrics_file, line)
        self._display.validation(line)
        self._watch(line)
        self._report(self._run, self._display)

    def _watch(self, line: MetricLine) -> None:
        for alarm in self._book.see(line):
            append_line(self._run.metrics_file, alarm.line())
            self._display.note(f"alarm after step {alarm.step}, {alarm.monitor}: {alarm.text}")
            if self._settings.stop_on_alarm and not self.alarm:
                self.alarm = f"{alarm.monitor}: {alarm.text}"


class NewLines:
    """The whole lines of a growing JSON-lines file, each read once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = path.read_bytes().rfind(b"\n") + 1 if path.exists() else 0

    def read(self) -> list[dict[str, object]]:
        """The lines since the last call, without one that is still being written."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        return [record for line in whole.splitlines() if (record := parse_line(line)) is not None]


def events(metrics: Sequence[MetricLine], kind: str) -> list[MetricLine]:
    """The lines of one kind (`step`, `validation`, `alarm` or `end`), in order."""
    return [line for line in metrics if line.get("event") == kind]
