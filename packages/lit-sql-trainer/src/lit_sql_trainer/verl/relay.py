"""What passes between the process that starts a VERL run and the Ray process that carries it out. Plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from lit_sql_trainer.profile.monitors import MonitorSettings
from lit_sql_trainer.runs.console import Display

SETTINGS_KEY = "lit_sql"
"""Section of VERL's configuration that holds `profile.verl.LitSql`."""
RUN_KEY = "lit_sql_run"
"""Section that holds `RunFacts`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What the trainer in Ray must know of the run it belongs to."""

    folder: Path
    """The run folder, on a disk that both processes see."""
    max_calls: int
    """Most trained model calls of one rollout."""
    monitors: MonitorSettings = field(default_factory=MonitorSettings)

    @property
    def stop_file(self) -> Path:
        """Its presence asks the run to end after its step."""
        return self.folder / "stop"


class LinesOnly(Display):
    """Shows no step: the process at the terminal reads the lines of `metrics.jsonl` and shows those."""

    def note(self, text: str) -> None:
        """Into the log of the Ray process."""
        print(text)


def flat_numbers(metrics: Mapping[str, object], prefix: str) -> dict[str, float]:
    """The numbers of nested metrics as `prefix/a/b`, which is what VERL's loggers take; anything else is left out."""
    flat: dict[str, float] = {}
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            flat |= flat_numbers(cast("Mapping[str, object]", value), f"{prefix}/{name}")
        elif isinstance(value, int | float):
            flat[f"{prefix}/{name}"] = float(value)
    return flat
