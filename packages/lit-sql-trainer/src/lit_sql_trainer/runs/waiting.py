"""Saying what takes so long, while it does: always on the error stream, and only when it is more than a moment."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress

FIRST_S = 1.5
"""What is over sooner is not mentioned."""
AGAIN_S = 10.0
"""How often it is said again where the output is no terminal."""
CLEAR_LINE = "\r\x1b[2K"


@contextmanager
def waiting(what: str) -> Generator[None]:
    """Name what goes on for as long as the block lasts: a line that counts the seconds on a terminal, else lines.

    A thread does so, and has ended when the block has: processes may be forked after it.
    """
    ended = threading.Event()
    thread = threading.Thread(target=_say_so, args=(what, ended), name="waiting", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _say_so(what: str, ended: threading.Event) -> None:
    began = time.monotonic()
    if ended.wait(FIRST_S):
        return
    with suppress(OSError, ValueError):  # nobody reads any more
        if not sys.stderr.isatty():
            _write(f"{what} …\n")
            while not ended.wait(AGAIN_S):
                _write(f"{what} … {time.monotonic() - began:.0f} s\n")
            return
        while True:
            _write(f"{CLEAR_LINE}{what} … {time.monotonic() - began:.0f} s")
            if ended.wait(1.0):
                _write(CLEAR_LINE)
                return


def _write(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
