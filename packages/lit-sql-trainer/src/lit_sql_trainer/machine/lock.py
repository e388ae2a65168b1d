"""Locks a folder for one process at a time."""

from __future__ import annotations

import errno
import fcntl
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from lit_sql_trainer.errors import RunError

LOCK_FILE = ".lock"


@contextmanager
def locked(folder: Path, *, doing: str, advice: str) -> Generator[None]:
    """Hold the lock of `folder` while the block runs. The kernel releases the lock of a process that dies.

    Args:
        doing: what another process with the lock does there, for the error message.
        advice: the next step, for the error message.

    Raises:
        RunError: another process holds the lock, or the folder cannot be written to.
    """
    place = folder / LOCK_FILE
    try:
        file = place.open("a")
    except OSError as error:
        raise RunError(f"cannot write to {str(folder)!r} ({error.strerror}); {advice}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunError(f"another process is {doing} {str(folder)!r}: {advice}") from error
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):  # a file system without locks
                raise
        yield
