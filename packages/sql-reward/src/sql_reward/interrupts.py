"""How the command answers Ctrl-C: at once while it loads, by KeyboardInterrupt as soon as it works. Imports nothing."""

import os
import signal
from types import FrameType

INTERRUPTED = 128 + signal.SIGINT


def interrupts_leave() -> None:
    """From here on Ctrl-C ends the process at once, without a traceback."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a shell lets its background jobs ignore it
        signal.signal(signal.SIGINT, _leave)


def interrupts_raise() -> None:
    """From here on Ctrl-C raises KeyboardInterrupt, so that a command can tidy up."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _leave(_number: int, _frame: FrameType | None) -> None:
    os._exit(INTERRUPTED)
