"""Shows the progress of a command on stderr: a bar on a terminal, a line every ten seconds elsewhere."""

from __future__ import annotations

import shlex
import signal
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lit_sql_trainer.commands.failures import exit_code
from lit_sql_trainer.machine.interrupt import Interrupt

if TYPE_CHECKING:
    from lit_sql_trainer.evaluation.records import AnswerRecord
    from lit_sql_trainer.evaluation.run import Evaluation
    from lit_sql_trainer.evaluation.run import Progress as OnRecord

LINE_EVERY_S = 10.0


def answered(evaluate: Callable[..., Evaluation], *, what: str, out: Path | None = None) -> Evaluation:
    """The evaluation that `evaluate` makes, shown as it goes; a signal that stops it ends the command with its code.

    Args:
        evaluate: takes `should_stop` and `progress`.
        what: the things it asks about, in the plural.
        out: its folder, where the command that resumes must name it.
    """
    finishing = f"finishing the {what} under way; press Ctrl-C again to end at once"
    with Interrupt(lambda: click.echo(finishing, err=True)) as stop, showing("answers") as progress:
        done = evaluate(should_stop=stop, progress=progress)
    if done.summary is None:
        count = sum(not record.failed for record in done.records)
        again = same_command(out=out)
        click.echo(f"stopped with {count} answers in {done.folder.path}; resume with\n    {again}")
        sys.exit(exit_code(stop.signal or signal.SIGINT))
    return done


@contextmanager
def showing(what: str) -> Generator[OnRecord]:
    """A callback that shows each record, open for the length of the block."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield _Lines(what)
        return
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[note]}"))
    with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
        bar = progress.add_task(what, note="")
        tally = _Tally()

        def on_record(done: int, total: int, record: AnswerRecord | None) -> None:
            tally.add(record)
            progress.update(bar, completed=done, total=total, note=str(tally))

        yield on_record


class _Tally:
    """Counts the records that this command has made so far: right, judged and failed."""

    def __init__(self) -> None:
        self.right = self.judged = self.failed = 0

    def add(self, record: AnswerRecord | None) -> None:
        if record is None:
            return
        if record.failed:
            self.failed += 1
        else:
            self.judged += 1
            self.right += record.final.suite

    def __str__(self) -> str:
        text = f"{100 * self.right / self.judged:.0f} % right" if self.judged else ""
        return f"{text}, {self.failed} failed" if self.failed else text


class _Lines:
    """Prints a line at the start, every ten seconds, and at the end."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._said = 0.0
        self._tally = _Tally()

    def __call__(self, done: int, total: int, record: AnswerRecord | None) -> None:
        self._tally.add(record)
        now = time.monotonic()
        if done == total or now - self._said >= LINE_EVERY_S:
            self._said = now
            tally = str(self._tally)
            print(f"{done} of {total} {self._what}{f', {tally}' if tally else ''}", file=sys.stderr, flush=True)


def same_command(**options: Path | None) -> str:
    """The command line to type to resume: the one that is running, with `options` added that it did not name."""
    words = [Path(sys.argv[0]).name, *sys.argv[1:]]
    for name, value in options.items():
        if value is not None:
            words += [f"--{name}", str(value)]
    return shlex.join(words)
