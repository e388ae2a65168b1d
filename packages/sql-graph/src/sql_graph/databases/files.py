"""What backends for files share: the identity of a file, and a private copy. A missing file is never created."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import time
from typing import TYPE_CHECKING

from sql_graph.errors import DatabaseNotFoundError, DatabaseUnavailableError

if TYPE_CHECKING:
    from pathlib import Path

SETTLED_NS = 100_000_000
"""File systems count time in ticks of some milliseconds, and two writes in one tick have the same time. So a file that
changed this recently gets a new identity at each call."""
PathLike = str | os.PathLike[str]
"""The type of a parameter that takes a file."""
FileIdentity = tuple[int, int, int, int, int, int]
"""Device, inode, size in bytes, times of modification and change in ns, and the time of asking if it just changed."""


def file_identity(path: Path) -> FileIdentity:
    """A value that stands for the content of a file: it changes whenever the content may have changed.

    Raises:
        DatabaseNotFoundError: there is no such file.
        DatabaseUnavailableError: it is a folder, a pipe or a device, or the system refuses to look at it.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise DatabaseUnavailableError(
                f"it is {_kind(found.st_mode)}",
                action="open",
                database=repr(str(path)),
                advice="give the path of a database file",
            )
        recent = -SETTLED_NS < time.time_ns() - found.st_ctime_ns < SETTLED_NS
        asked = time.monotonic_ns() if recent else 0
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # ValueError: the path holds a NUL
        raise DatabaseNotFoundError(database=str(path)) from error
    except OSError as error:
        raise DatabaseUnavailableError(
            error.strerror or str(error),
            action="look at",
            database=f"the database file {str(path)!r}",
            advice="check its permissions",
        ) from error
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns, asked


class Copy:
    """A private copy of a database file and of the log beside it, deleted with this object.

    SQLite can read a database whose log nobody holds only by making files beside it. It makes them beside the copy.

    Raises:
        DatabaseUnavailableError: there is no room for it, or the files change meanwhile.
    """

    def __init__(self, path: Path, log: Path) -> None:
        before = file_identity(path)[:5], file_identity(log)[:5]
        self._folder = tempfile.TemporaryDirectory(prefix="sql-graph-", ignore_cleanup_errors=True)
        self.path = type(path)(self._folder.name) / "copy.sqlite"
        try:
            shutil.copyfile(path, self.path)
            shutil.copyfile(log, f"{self.path}-wal")
        except OSError as error:
            self.close()
            raise DatabaseUnavailableError(
                f"its log lies beside it, and no copy of both can be made ({error.strerror})",
                action="read",
                database=f"the SQLite database {str(path)!r}",
                advice=(
                    f"make room in {tempfile.gettempdir()!r}, or open the database once with SQLite to merge its log"
                ),
            ) from error
        if before != (file_identity(path)[:5], file_identity(log)[:5]):
            self.close()
            raise DatabaseUnavailableError(
                "it is being written",
                action="read",
                database=f"the SQLite database {str(path)!r}",
                advice="try again when its writer has ended",
            )

    def close(self) -> None:
        """Delete the copy."""
        self._folder.cleanup()


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a folder"
    if stat.S_ISFIFO(mode):
        return "a named pipe"
    return "a socket" if stat.S_ISSOCK(mode) else "a device"
