"""A progress bar while suites are made; silent where nobody watches."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from spider_data.suite.folder import OnStep


@contextmanager
def suite_progress(console: Console) -> Generator[OnStep]:
    """A bar on `console` with the database at work; nothing is shown when it is no terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("suites", total=None)

        def on_step(db_id: str, done: int, steps: int) -> None:
            progress.update(bar, description=db_id, completed=done, total=steps)

        yield on_step
