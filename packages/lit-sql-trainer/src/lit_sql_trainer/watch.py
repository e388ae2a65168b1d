"""What a run writes and shows as it goes: one observer of the algorithm, two places to look.

Every step and validation becomes a line of `metrics.jsonl` first, then a line or a live panel for the person at the
terminal. The algorithm knows neither.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lit_sql_trainer.console import Display
from lit_sql_trainer.runs import RunFolder, append_line
from lit_sql_trainer.signs import tally

Metrics = Mapping[str, Any]


class RunWatcher:
    """The algorithm's observer: keeps the run folder up to date and tells the display.

    The runners' own lines in `rollouts.jsonl` complete the algorithm's numbers: it sees rewards, they saw outcomes.
    """

    def __init__(self, run: RunFolder, display: Display) -> None:
        self._run = run
        self._display = display
        self._rollouts = NewLines(run.rollouts_file)
        self.steps = 0
        """The last step that was finished."""

    def on_step(self, metrics: Metrics) -> None:
        """A step's numbers."""
        self.steps = int(metrics["step"])
        line = {"event": "step", **metrics, **tally(self._rollouts.read())}
        append_line(self._run.metrics_file, line)
        self._display.step(line)

    def on_validation(self, metrics: Metrics) -> None:
        """A validation's numbers."""
        line = {"event": "validation", **metrics, **tally(self._rollouts.read())}
        append_line(self._run.metrics_file, line)
        self._display.validation(line)

    def on_checkpoint(self, path: str, step: int) -> None:
        """A complete checkpoint; where it lies is known."""


class NewLines:
    """The whole lines of a growing JSON-lines file, each read once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = path.stat().st_size if path.exists() else 0

    def read(self) -> list[dict[str, Any]]:
        """The lines since the last call, without one that is still being written."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        return [json.loads(line) for line in whole.splitlines()]


def events(metrics: Sequence[Metrics], kind: str) -> list[Metrics]:
    """The lines of one kind, `step` or `validation`, in order."""
    return [line for line in metrics if line.get("event") == kind]
