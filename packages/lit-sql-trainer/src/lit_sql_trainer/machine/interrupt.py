"""How a run ends before its time, without leaving anything half done or anybody behind.

The first Ctrl-C (or SIGTERM) asks the run to stop after its step; the second ends it at once. Runner processes
receive the terminal's SIGINT too and ignore it: their run is ended by the process that started them. When that one
is killed, they go with it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

_PR_SET_PDEATHSIG = 1


class Interrupt:
    """While it is entered, turns signals into a question that the run asks itself: `interrupt()`.

    Must be entered before the runners are forked, so that they inherit it. Outside the main thread, where Python
    delivers no signals, it does nothing and its answer stays False.

    Args:
        on_request: called once, at the first signal, in the process that entered.
    """

    def __init__(self, on_request: Callable[[], None] = lambda: None) -> None:
        self.requested = False
        self._on_request = on_request
        self._owner = os.getpid()
        self._before: dict[int, Any] = {}

    def __call__(self) -> bool:
        """Whether somebody asked the run to stop."""
        return self.requested

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._owner:
            if number == signal.SIGTERM:  # sent by the library to a runner that does not end by itself
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
            return
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        self._on_request()


def die_with_parent() -> None:
    """Ask the kernel to end this process when the one that started it dies. On other systems than Linux: nothing."""
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:  # it died before the kernel was asked
        os.kill(os.getpid(), signal.SIGTERM)
