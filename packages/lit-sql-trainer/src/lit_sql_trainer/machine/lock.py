"""One process at a time in a folder."""

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
    """Nobody else holds `folder` for as long as the block lasts. The kernel ends the lock of a process that dies.

    Args:
        doing: what another process would be doing there, for the message.
        advice: what to do about it.

    Raises:
        RunError: another process holds it, or the folder cannot be written to.
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
