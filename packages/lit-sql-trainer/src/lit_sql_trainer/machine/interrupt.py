"""Ends a run early without half-done work or leftover processes.

The first Ctrl-C, SIGTERM or SIGHUP asks the run to stop: it finishes its step, or gives it up after `GRACE_S`, and
writes its checkpoint. The second ends it at once. A signal that was ignored when the run began stays ignored: `nohup`
ignores SIGHUP, and a shell ignores SIGINT for a background job.

Terminals, `timeout`, systemd and SLURM signal the whole process group. Runner processes ignore that signal: the process
that started them ends them. When that process is killed, they die too.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
GRACE_S = 10.0
"""How long the step under way may still take."""
AGAIN_S = 0.05
"""When a signal comes again that no code could take."""
_PR_SET_PDEATHSIG = 1

Handler = Callable[[int, FrameType | None], object] | int | None
"""What Python does on a signal."""


class StopSignal(KeyboardInterrupt):
    """A signal that ends the work at once; `number` says which."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def handle_signals(handler: Callable[[int, FrameType | None], object]) -> dict[int, Handler]:
    """Have `handler` take every signal that ends a run and is not ignored; the handlers it replaces, by signal.

    Outside the main thread, where Python delivers no signals, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {
        number: signal.signal(number, handler) for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN
    }


def deliver_again(report: Callable[[sys.UnraisableHookArgs], object]) -> Callable[[sys.UnraisableHookArgs], None]:
    """A `sys.unraisablehook` that sends a signal again whose `StopSignal` a finaliser swallowed.

    Python runs finalisers anywhere, and what they raise goes nowhere. Anything but a `StopSignal` goes to `report`.
    """

    def hook(lost: sys.UnraisableHookArgs) -> None:
        if isinstance(lost.exc_value, StopSignal):
            threading.Timer(AGAIN_S, os.kill, (os.getpid(), lost.exc_value.number)).start()
        else:
            report(lost)

    return hook


class Interrupt:
    """Turns signals into a question that the run asks itself, `interrupt()`, while the block runs.

    Enter it before the runners are forked, so that they inherit it. Outside the main thread it always answers False.

    Args:
        on_request: called once, at the first signal, in the process that entered the block.
    """

    def __init__(self, on_request: Callable[[], None] = lambda: None) -> None:
        self.requested = False
        """Whether a signal has asked the run to stop."""
        self._first: int = signal.SIGINT
        self._asked_at = 0.0
        self._on_request = on_request
        self._owner = os.getpid()
        self._before: dict[int, Handler] = {}
        self._runner_was_asked = False

    @property
    def signal(self) -> int | None:
        """The first signal; None while there is none."""
        return self._first if self.requested else None

    def __call__(self) -> bool:
        """Whether a signal has asked the run to stop."""
        return self.requested

    def overdue(self) -> bool:
        """Whether the first signal is so long ago that the run must give up the step under way."""
        return self.requested and time.monotonic() - self._asked_at > GRACE_S

    def __enter__(self) -> Interrupt:
        self._before = handle_signals(self._receive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._owner:
            self._receive_in_runner(number)
            return
        if self.requested:
            raise StopSignal(number)
        self.requested, self._first, self._asked_at = True, number, time.monotonic()
        self._on_request()

    def _receive_in_runner(self, number: int) -> None:
        """Ignore the signal, except SIGTERM after SIGINT: the library sends these two to a runner that does not end."""
        if number == signal.SIGINT:
            self._runner_was_asked = True
        elif number == signal.SIGTERM and self._runner_was_asked:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent dies. On systems other than Linux, do nothing."""
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # the parent died before the call
        os.kill(os.getpid(), signal.SIGKILL)
