"""What all commands share: how they write, and how they end when the user or the system stops them."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Any

import click

from sql_reward.interrupts import INTERRUPTED, interrupts_raise

BAD_INPUT = 2
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)


class Commands(click.Group):
    """Commands that write to any stream, and end with one line instead of a traceback."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run a command. Characters that the streams cannot write are replaced."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")
        return super().main(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was asked for. Ctrl-C exits with 130, a full disk under standard output with 2."""
        interrupts_raise()
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            sys.exit(INTERRUPTED)
        except OSError as error:
            if error.errno not in _FULL or error.filename is not None:
                raise
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is still in its buffer has nowhere to go
            click.echo(f"Error: cannot write to standard output: {error.strerror}; make room", err=True)
            sys.exit(BAD_INPUT)


class Seconds(click.FloatRange):
    """A finite number of seconds above zero."""

    def __init__(self) -> None:
        super().__init__(min=0, min_open=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number, or a usage error that names the option."""
        seconds = float(super().convert(value, param, ctx))
        if seconds != seconds or seconds == float("inf"):
            self.fail(f"{value!r} is no number of seconds.", param, ctx)
        return seconds
