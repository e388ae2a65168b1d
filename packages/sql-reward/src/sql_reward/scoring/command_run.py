"""One run of a command over many pairs: progress on a terminal, a file of verdicts, an orderly end when interrupted."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from types import FrameType

import click

from sql_reward.console import BAD_INPUT
from sql_reward.errors import InputError, LimitsError, OutputError
from sql_reward.exact.schema import SchemaError
from sql_reward.scoring.pairs import BadRow, Pair
from sql_reward.scoring.records import Record, record_file
from sql_reward.scoring.score import PairResult, ScoreOptions, score_pairs
from sql_reward.scoring.workers import WorkersFailedError

SOME_NOT_JUDGED = 1
NO_WORKERS = 3
INTERRUPTED = 128
"""Plus the number of the signal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a run has found out, and how it ended."""

    results: list[PairResult]
    total: int
    """Rows there were to judge."""
    out: Path | None
    seconds: float
    jobs: int
    signal_number: int
    """The signal that ended it early; 0 if none did."""

    def summary_line(self, summary: Mapping[str, object]) -> str:
        """These figures and how the run went, as one line of JSON."""
        end = {"seconds": round(self.seconds, 3), "jobs": self.jobs, "interrupted": bool(self.signal_number)}
        return json.dumps({**summary, **end})

    def finish(self, *, unjudged: int) -> None:
        """End the process with the code that says how it went, unless it went well."""
        if self.signal_number:
            where = f"; {str(self.out)!r} holds them, whole lines only" if self.out else ""
            click.echo(f"interrupted: {len(self.results):,} of {self.total:,} pairs were judged{where}", err=True)
            sys.exit(INTERRUPTED + self.signal_number)
        if unjudged:
            click.echo(f'{unjudged:,} of {self.total:,} pairs could not be judged: see "error" in the output', err=True)
            sys.exit(SOME_NOT_JUDGED)


def run_pairs(
    rows: Sequence[Pair | BadRow],
    options: ScoreOptions,
    *,
    jobs: int,
    out: Path | None,
    to_record: Callable[[PairResult], Record],
) -> Run:
    """Judge all rows and write their records as they come. Ctrl-C and SIGTERM end it early but orderly."""
    started = perf_counter()
    results: list[PairResult] = []
    with record_file(out) as write, _signals() as caught, _progress(len(rows)) as done:
        for result in score_pairs(rows, options, jobs=jobs, stop=lambda: bool(caught), done=done):
            write(to_record(result))
            results.append(result)
    return Run(
        results=results,
        total=len(rows),
        out=out,
        seconds=perf_counter() - started,
        jobs=jobs,
        signal_number=caught[0] if caught else 0,
    )


def refuse_overwriting(out: Path | None, *inputs: Path | None) -> None:
    """Raise InputError if the output file is one of the inputs."""
    if out is not None and out.exists() and any(path is not None and out.samefile(path) for path in inputs):
        raise InputError(out, "--out is one of the input files", "write to another one")


@contextmanager
def explained_errors() -> Generator[None]:
    """Errors that the user can do something about end the process with one line instead of a traceback."""
    try:
        yield
    except (InputError, OutputError, SchemaError, LimitsError) as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(BAD_INPUT)
    except WorkersFailedError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(NO_WORKERS)


@contextmanager
def _signals() -> Generator[list[int]]:
    """Collect the first SIGINT or SIGTERM instead of dying of it; a second one acts as usual."""
    caught: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        caught.append(number)
        restore()

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    try:
        yield caught
    finally:
        restore()


@contextmanager
def _progress(total: int) -> Generator[Callable[[], object]]:
    """A function to call once per finished pair: it moves a bar on a terminal and does nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TimeRemainingColumn

    columns = (SpinnerColumn(), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda: bar.advance(task)
