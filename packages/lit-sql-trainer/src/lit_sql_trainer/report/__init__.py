"""Shows runs as one HTML file: it opens from disk, needs no network, and is readable on a phone and on paper.

`data` reads run folders, `examples` pairs rollouts of the same task, `curves` and `words` choose the contents, `charts`
and `svg` draw, `palette` holds the colours, and `page` composes the page with `templates/`, which escape everything
that a model, a question or a user wrote. A run folder holds no gold query, so a report holds none.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lit_sql_trainer.errors import ConfigError, RunError
from lit_sql_trainer.runs.console import Display
from lit_sql_trainer.runs.folder import RunFolder, replace_text

if TYPE_CHECKING:
    from lit_sql_trainer.report.data import RunData

MAX_RUNS = 8
MAX_POINTS = 160
"""Most points of one curve, for one or two runs."""
MAX_EXAMPLES = 30
"""Most examples over all runs."""

__all__ = ["MAX_RUNS", "check_reportable", "report_or_say", "write_curves", "write_report"]


def write_report(runs: Sequence[RunFolder], out: Path) -> Path:
    """Write the report of one run, or of several together, to `out` in one move; return its path.

    Raises:
        ConfigError: no run, or more than `MAX_RUNS`.
        RunError: a run folder is damaged or has no metrics, or the file cannot be written.
    """
    from lit_sql_trainer.report.page import page

    if not 1 <= len(runs) <= MAX_RUNS:
        raise ConfigError(f"a report shows 1 to {MAX_RUNS} runs, got {len(runs)}: name fewer")
    points, examples = max(40, min(MAX_POINTS, 2 * MAX_POINTS // len(runs))), MAX_EXAMPLES // len(runs)
    return _write(out, page([_read(run, points=points, examples=examples) for run in runs]))


def write_curves(run: RunFolder, out: Path) -> Path:
    """Write only the curves of a run's report to `out`, as one SVG file; return its path.

    Raises:
        RunError: the run folder is damaged or has no metrics, or the file cannot be written.
    """
    from lit_sql_trainer.report.page import picture

    return _write(out, picture(_read(run, points=MAX_POINTS, examples=0)))


def _read(run: RunFolder, *, points: int, examples: int) -> RunData:
    from lit_sql_trainer.report.data import read_run

    read = read_run(run, points=points, examples=examples)
    if not read.steps and not read.validations:
        raise RunError(f"run {read.name!r} has no metrics yet: report on it after its first validation")
    return read


def check_reportable(run: RunFolder) -> None:
    """Check that a report can show the run.

    Raises:
        RunError: its folder is damaged or has no metrics yet.
    """
    _read(run, points=1, examples=0)


def _write(out: Path, text: str) -> Path:
    try:
        replace_text(out, text)
    except OSError as error:
        raise RunError(f"cannot write {out}: {error.strerror}; choose another file with --out") from error
    return out


def report_or_say(run: RunFolder, display: Display) -> None:
    """Write the run's report into its folder; when that fails the display says why, and the run goes on."""
    try:
        write_report([run], run.report_file)
    except Exception as error:  # noqa: BLE001  whatever it is: hours of training must not end for a picture of them
        display.note(f"the report could not be written ({type(error).__name__}: {error}); the run goes on")
