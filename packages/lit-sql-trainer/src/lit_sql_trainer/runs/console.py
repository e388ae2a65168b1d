"""What a person sees while a run goes: a live panel on a terminal, plain lines everywhere else.

Both show the same numbers. Nothing is drawn before the first event, because threads must not exist when the runner
processes are forked.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lit_sql_trainer.rollouts.metrics import MetricLine

if TYPE_CHECKING:
    from rich.console import RenderableType

COLUMNS = ("step", "reward", "validation", "left", "dropped", "outcomes", "time", "tokens/s")
"""Of the panel, the most wanted first."""
GAP = 2
"""Columns of a table stand so far apart."""


class Display:
    """Shows how a run goes; entered around it. This one shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to put away."""

    def step(self, metrics: MetricLine) -> None:
        """After each update."""

    def validation(self, metrics: MetricLine) -> None:
        """After each validation."""

    def note(self, text: str) -> None:
        """Something a person should read."""


def _say(console: Console, text: str) -> None:
    """Print a line where somebody still reads: a terminal that was closed must not end a run."""
    with contextlib.suppress(OSError, ValueError):
        console.print(text, soft_wrap=True, markup=False)


def open_display(steps: int, *, console: Console | None = None) -> Display:
    """A live panel when the output is a terminal, plain lines otherwise."""
    console = console or Console(highlight=False)
    return LiveDisplay(steps, console) if console.is_terminal else PlainDisplay(steps, console)


class PlainDisplay(Display):
    """A line for each event."""

    def __init__(self, steps: int, console: Console) -> None:
        self._console = console
        self._clock = Clock(steps)

    def step(self, metrics: MetricLine) -> None:
        """One line: where the run is, what was earned, how, and how fast."""
        self._clock.step(metrics)
        self.note("  ".join(step_cells(metrics, self._clock).values()))

    def validation(self, metrics: MetricLine) -> None:
        """One line: the greedy reward with its standard error."""
        self.note(validation_line(metrics))

    def note(self, text: str) -> None:
        """The text as it is."""
        _say(self._console, text)


class LiveDisplay(Display):
    """A panel that is redrawn: the last steps as a table, the validations, a bar with the time left."""

    ROWS = 12

    def __init__(self, steps: int, console: Console) -> None:
        self._console = console
        self._clock = Clock(steps)
        self._live: Live | None = None
        self._rows: list[dict[str, str]] = []
        self._validated = ""
        self._validations: list[str] = []

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def step(self, metrics: MetricLine) -> None:
        """A new row in the table."""
        self._clock.step(metrics)
        cells = step_cells(metrics, self._clock)
        self._rows = [*self._rows, {**cells, "validation": self._validated}][-self.ROWS :]
        self._draw()

    def validation(self, metrics: MetricLine) -> None:
        """A new line above the bar."""
        self._validations.append(validation_line(metrics))
        self._validated = number(metrics.get("reward"))
        self._draw()

    def note(self, text: str) -> None:
        """Printed above the panel, where it stays."""
        _say(self._console, text)

    def _draw(self) -> None:
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()
        parts: list[RenderableType] = []
        if self._rows:
            parts.append(_table(self._rows, self._console.width))
        parts += [Text(line, style="bold", no_wrap=True, overflow="ellipsis") for line in self._validations[-4:]]
        parts.append(ProgressBar(total=max(self._clock.steps, 1), completed=self._clock.done, width=60))
        self._live.update(Group(*parts), refresh=True)


def _table(rows: Sequence[Mapping[str, str]], width: int) -> Table:
    """The columns that fit, the most wanted first; none is cut."""
    columns = [
        (name, [row.get(name, "").removeprefix(f"{name} ").strip() for row in rows])
        for name in COLUMNS
        if any(row.get(name) for row in rows)
    ]
    table = Table(box=None, pad_edge=False)
    shown: list[Sequence[str]] = []
    used = 0
    for name, cells in columns:
        used += max(map(len, (name, *cells))) + GAP
        if shown and used > width + GAP:
            break
        table.add_column(name, justify="right", no_wrap=True)
        shown.append(cells)
    for row in zip(*shown, strict=True):
        table.add_row(*row)
    return table


class Clock:
    """Where a run is and how long the rest takes at the pace of its recent steps."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.done = 0
        self._last: float | None = None
        self._pace_s: float | None = None

    def step(self, metrics: MetricLine) -> None:
        """A step was finished now."""
        now = time.monotonic()
        took = now - self._last if self._last is not None else float(metrics.get("seconds", 0.0))
        self._pace_s = took if self._pace_s is None else 0.8 * self._pace_s + 0.2 * took
        self._last, self.done = now, int(metrics["step"])

    def left(self) -> str:
        """The time left, validations included as far as they happened between recent steps."""
        return duration((self._pace_s or 0.0) * max(self.steps - self.done, 0))


def step_cells(metrics: MetricLine, clock: Clock) -> dict[str, str]:
    """What is shown of a step, by column."""
    cells = {
        "step": f"step {clock.done}/{clock.steps}".ljust(len(f"step {clock.steps}/{clock.steps}")),
        "reward": f"reward {number(metrics.get('reward')):5}",
        "left": f"left {clock.left():6}",
    }
    outcomes: Mapping[str, int] = metrics.get("outcomes") or {}
    if total := sum(outcomes.values()):
        ordered = sorted(outcomes.items(), key=lambda item: -item[1])[:3]
        cells["outcomes"] = "outcomes " + ", ".join(f"{name} {count / total:.0%}" for name, count in ordered)
    if dropped := metrics.get("dropped"):
        cells["dropped"] = f"dropped {dropped}"
    if speed := metrics.get("tokens_per_s"):
        cells["tokens/s"] = f"tokens/s {speed:.0f}"
    if seconds := metrics.get("seconds"):
        cells["time"] = (
            f"time {seconds:.1f} s (rollout {metrics.get('seconds_rollout', 0.0):.1f}, "
            f"of it adapt {metrics.get('seconds_adapt', 0.0):.1f}, update {metrics.get('seconds_update', 0.0):.1f})"
        )
    return cells


def validation_line(metrics: MetricLine) -> str:
    """The greedy reward on validation with its standard error."""
    error = metrics.get("standard_error")
    spread, what = (f" ± {error:.3f}", "standard error; ") if error is not None else ("", "")
    best = ", best" if metrics.get("best") else ""
    return (
        f"validation after step {metrics['step']}: {number(metrics.get('reward'))}{spread} "
        f"({what}{metrics.get('rollouts', 0)} tasks, greedy{best})"
    )


def number(value: float | None) -> str:
    """Three decimals, or a dash where there is no number."""
    return "–" if value is None else f"{value:.3f}"


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"
