"""Where the command `sql-reward` begins: Ctrl-C ends it with 130 and without a traceback from its first moment.

Imports nothing, so that an interrupt while the libraries load is met too.
"""

import os
import signal
from types import FrameType

INTERRUPTED = 128 + signal.SIGINT


def main() -> None:
    """Load the commands and run the one that was asked for."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a shell lets its background jobs ignore it
        signal.signal(signal.SIGINT, _leave)
    from sql_reward.cli import main as command  # takes a quarter of a second, in which Ctrl-C may come

    command(prog_name="sql-reward")


def interrupts_raise() -> None:
    """From here on Ctrl-C raises KeyboardInterrupt, so that a command can tidy up."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _leave(_number: int, _frame: FrameType | None) -> None:
    os._exit(INTERRUPTED)
