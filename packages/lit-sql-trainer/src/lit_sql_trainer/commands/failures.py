"""Turns errors and signals into one line and an exit code.

Exit codes: 0 done; 1 the work failed; 2 the request makes no sense or cannot run here; 128 plus the number of the
signal that stopped the command: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP.
"""

from __future__ import annotations

import errno
import signal
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType

import click

from lit_sql_trainer.errors import ConfigError, DataError, ModelError, RunError, SetupError, TrainerError
from lit_sql_trainer.machine.interrupt import StopSignal, deliver_again, handle_signals

USAGE_ERRORS = (ConfigError, DataError, ModelError, RunError, SetupError)
REFUSED_WRITES = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO, errno.EACCES, errno.EPERM})
"""Error numbers of a disk that is full, read-only or not writable."""


class RefusalError(click.ClickException):
    """The request makes no sense or cannot run here."""

    exit_code = 2


def exit_code(signal_number: int) -> int:
    """The exit code that a shell expects of a command stopped by this signal."""
    return 128 + signal_number


@contextmanager
def exit_on_error(*, stopped: Callable[[], str] = lambda: "") -> Generator[None]:
    """Turn an error of this package inside the block into one line and its exit code; likewise a signal, with the line
    that `stopped` gives.
    """
    before, report = handle_signals(_raise), sys.unraisablehook
    sys.unraisablehook = deliver_again(report)
    try:
        yield
    except TrainerError as error:
        kind = RefusalError if isinstance(error, USAGE_ERRORS) else click.ClickException
        raise kind(str(error)) from error
    except OSError as error:
        if error.errno not in REFUSED_WRITES:
            raise
        place = f" {str(error.filename)!r}" if error.filename is not None else ""
        line = f"cannot write{place}: {error.strerror}; free some space or choose another place, then try again"
        raise click.ClickException(line) from error
    except KeyboardInterrupt as error:
        if line := stopped():
            click.echo(line, err=True)
        raise SystemExit(exit_code(error.number if isinstance(error, StopSignal) else signal.SIGINT)) from None
    finally:
        sys.unraisablehook = report
        for number, handler in before.items():
            signal.signal(number, handler)


def _raise(number: int, frame: FrameType | None) -> None:
    raise StopSignal(number)
