"""What a command shows while it works: a line that moves on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager

_SILENCE_S = 2.5
"""Longest time without a sign of life."""


class Working:
    """Shows on standard error what a command is doing. Use it as a context manager, before heavy imports.

    With `held`, nothing is shown on a terminal until `update`: something else draws there, such as a download's bar.
    """

    def __init__(self, text: str, *, held: bool = False) -> None:
        self._text = text
        self._held = held
        self._began = time.monotonic()
        self._over = threading.Event()
        self._stack = ExitStack()
        self._show: Callable[[str], None] | None = None

    def __enter__(self) -> Working:
        threading.Thread(target=self._speak, daemon=True).start()
        if not self._held:
            self.update(self._text)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._stack.close()

    def update(self, text: str) -> None:
        """Say what is done now."""
        self._text, self._held = text, False
        if self._show is None and sys.stderr.isatty():
            from rich.console import Console

            self._show = self._stack.enter_context(Console(stderr=True).status("")).update
        if self._show is not None:
            self._show(text)

    def _speak(self) -> None:
        while not self._over.wait(_SILENCE_S):
            if self._show is None and not (self._held and sys.stderr.isatty()):
                print(f"{self._text} ({time.monotonic() - self._began:.0f} s)", file=sys.stderr, flush=True)


@contextmanager
def suite_progress() -> Generator[Callable[[str, int, int], None]]:
    """Hears (database, variants tried, all) and shows a bar, or a line every few seconds where there is no terminal."""
    if not sys.stderr.isatty():
        with Working("reading the databases") as working:
            yield lambda db_id, done, steps: working.update(f"{db_id}: tried {done} of {steps} variants")
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        *(SpinnerColumn(), TextColumn("{task.description}", markup=False)),
        *(BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("reading the databases", total=None)
        yield lambda db_id, done, steps: progress.update(bar, description=db_id, completed=done, total=steps)
