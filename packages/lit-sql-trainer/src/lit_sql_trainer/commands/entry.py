"""The entry points of the commands: each handles signals and any terminal before it imports anything heavy.

Until a command has something to clean up, a signal ends the process at once with its exit code. The output replaces
characters that its encoding lacks.
"""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from importlib import import_module
from types import FrameType


def train() -> None:
    """Run the command `train`."""
    _run("lit_sql_trainer.commands.train", "train_main")


def lit_sql() -> None:
    """Run the command `lit-sql`."""
    _run("lit_sql_trainer.cli", "main")


def _run(module: str, command: str) -> None:
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _leave)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        getattr(import_module(module), command)()
    except OSError as error:  # writing the output failed; a command names its own files
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):
            raise
        sys.stderr.write(f"Error: cannot write: {error.strerror}\n")
        sys.exit(1)
    finally:
        for stream in (sys.stdout, sys.stderr):
            _flush(stream)


def _leave(number: int, frame: FrameType | None) -> None:
    os._exit(128 + number)


def _flush(stream: io.TextIOWrapper | object) -> None:
    """Write the buffered output. When the reader is gone, discard it, so that the exit code stays."""
    if not isinstance(stream, io.TextIOWrapper) or stream.closed:
        return
    try:
        stream.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
