"""How a command says what went wrong: one line and an exit code.

Exit codes: 0 done, 1 the work failed, 2 what was asked for makes no sense or cannot run here; stopped by a signal, 128
and its number: 130 by Ctrl-C, 143 by SIGTERM, 129 by SIGHUP.
"""

from __future__ import annotations

import errno
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import click

from lit_sql_trainer.errors import ConfigError, DataError, ModelError, RunError, SetupError, TrainerError
from lit_sql_trainer.machine.interrupt import SIGNALS, StopSignal

USAGE_ERRORS = (ConfigError, DataError, ModelError, RunError, SetupError)
REFUSED_WRITES = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO, errno.EACCES, errno.EPERM})
"""What a disk says that cannot or must not be written to."""


class RefusalError(click.ClickException):
    """What was asked for makes no sense or cannot run here."""

    exit_code = 2


def exit_code(signal_number: int) -> int:
    """What a shell expects of a command that a signal stopped."""
    return 128 + signal_number


@contextmanager
def exit_on_error(*, stopped: Callable[[], str] = lambda: "") -> Generator[None]:
    """Errors of ours leave the block as one line with their exit code, and so do signals, with the line `stopped`."""
    before = _raise_on_signals()
    try:
        yield
    except TrainerError as error:
        kind = RefusalError if isinstance(error, USAGE_ERRORS) else click.ClickException
        raise kind(str(error)) from error
    except OSError as error:
        if error.errno not in REFUSED_WRITES:
            raise
        place = f" {str(error.filename)!r}" if error.filename is not None else ""
        line = f"cannot write{place}: {error.strerror}; free some space or choose another place, then go on"
        raise click.ClickException(line) from error
    except KeyboardInterrupt as error:
        if line := stopped():
            click.echo(line, err=True)
        raise SystemExit(exit_code(error.number if isinstance(error, StopSignal) else signal.SIGINT)) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _raise_on_signals() -> dict[int, Any]:
    """Have each signal that ends a command raise `StopSignal`; what was there before, by signal.

    A signal that is ignored stays so: `nohup` does that, and a shell for a background job.
    """

    def receive(number: int, frame: FrameType | None) -> None:
        raise StopSignal(number)

    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, receive)
    return before
