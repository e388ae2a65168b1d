"""Says on standard error what a command waits for, while it does: on a terminal a line that counts the seconds.

Elsewhere a line appears only when a wait is longer than a moment. Imports nothing heavy: it speaks while others load.
"""

from __future__ import annotations

import sys
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

FIRST_S = 3.0
"""Where standard error is no terminal, a shorter wait is not mentioned."""
AGAIN_S = 10.0
"""How often a wait is mentioned again there."""
_CLEAR_LINE = "\r\x1b[2K"


class Waiting:
    """Names what a command does, for as long as the block lasts. A thread counts the seconds."""

    def __init__(self, doing: str) -> None:
        self._doing = doing
        self._began = self._said = time.monotonic()
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._terminal = sys.stderr.isatty()
        self._thread = threading.Thread(target=self._count, name="waiting", daemon=True)

    def __enter__(self) -> Self:
        self.update(self._doing)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        if self._terminal:
            self._write(_CLEAR_LINE)

    def update(self, doing: str) -> None:
        """Name what is done from now on; its seconds count from here."""
        with self._lock:
            self._doing = doing
            self._began = time.monotonic()
            self._said = self._began - AGAIN_S + FIRST_S
            self._show(0.0)

    def note(self, text: str) -> None:
        """Print a line that stays."""
        with self._lock:
            self._write(f"{_CLEAR_LINE if self._terminal else ''}sql-graph: {text}\n")

    def _count(self) -> None:
        while not self._over.wait(1.0):
            with self._lock:
                now = time.monotonic()
                if self._terminal:
                    self._show(now - self._began)
                elif now - self._said >= AGAIN_S:
                    self._said = now
                    self._write(f"sql-graph: {self._doing} … {now - self._began:.0f} s\n")

    def _show(self, seconds: float) -> None:
        if self._terminal:
            count = f" {seconds:.0f} s" if seconds >= 1 else ""
            self._write(f"{_CLEAR_LINE}sql-graph: {self._doing} …{count}")

    def _write(self, text: str) -> None:
        with suppress(OSError, ValueError):  # nobody reads any more
            sys.stderr.write(text)
            sys.stderr.flush()
