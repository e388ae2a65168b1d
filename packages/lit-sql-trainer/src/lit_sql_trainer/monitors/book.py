"""Feed the metric lines of one run to its monitors: raise alarms, and say when the run should end early."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lit_sql_trainer.monitors.history import History
from lit_sql_trainer.monitors.rules import RULES, Monitor, Reading
from lit_sql_trainer.profile.monitors import MonitorSettings
from lit_sql_trainer.rollouts.metrics import MetricLine


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """An alarm: a monitor has begun to trip."""

    monitor: str
    step: int
    value: float
    limit: float
    text: str

    def line(self) -> MetricLine:
        """Return the alarm as a line of `metrics.jsonl`."""
        return {
            "event": "alarm",
            "step": self.step,
            "monitor": self.monitor,
            "value": self.value,
            "limit": self.limit,
            "text": self.text,
        }


class MonitorBook:
    """The monitors of one run, fed line by line.

    An alarm is raised when a monitor begins to trip, and again only after it was quiet for two windows, so that a value
    that plays around its limit is reported once.
    """

    def __init__(self, settings: MonitorSettings | None = None) -> None:
        self.settings = settings or MonitorSettings()
        self.history = History(self.settings.window)
        self._tripped_at: dict[Monitor, int] = {}

    def see(self, line: MetricLine) -> list[Alarm]:
        """Take in a line of `metrics.jsonl` and return the alarms that it raises."""
        if not self.history.add(line):
            return []
        alarms: list[Alarm] = []
        now = len(self.history.rewards)
        for reading in self.readings():
            if not reading.tripped or reading.value is None:
                continue
            last = self._tripped_at.get(reading.monitor)
            self._tripped_at[reading.monitor] = now
            if last is None or now - last > 2 * self.settings.window:
                alarms.append(
                    Alarm(
                        monitor=str(reading.monitor),
                        step=int(line["step"]),
                        value=reading.value,
                        limit=reading.limit,
                        text=reading.text,
                    )
                )
        return alarms

    def readings(self) -> list[Reading]:
        """Return what every monitor sees now, in the order of `Monitor`."""
        return [rule(self.history, self.settings) for rule in RULES]

    def out_of_patience(self) -> str:
        """Say why the run should end early; empty when it should not."""
        if not self.settings.patience or self.history.stale < self.settings.patience:
            return ""
        reward, error = self.history.reference or (0.0, 0.0)
        return (
            f"{self.history.stale} validations in a row gained no more than one standard error ({error:.3f}) over "
            f"{reward:.3f} (monitors.patience={self.settings.patience})"
        )


def replay(lines: Iterable[MetricLine], settings: MonitorSettings | None = None) -> tuple[MonitorBook, list[Alarm]]:
    """Return a book that has seen these lines, and every alarm that they raised."""
    book = MonitorBook(settings)
    return book, [alarm for line in lines for alarm in book.see(line)]
