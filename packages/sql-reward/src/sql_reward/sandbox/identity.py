"""Which content a path holds now, in a value that changes whenever the content may have."""

from __future__ import annotations

import hashlib
import os
import stat
from time import time_ns
from typing import Final

from sql_reward.errors import DatabaseNotFoundError, DatabaseUnreadableError
from sql_reward.paths import PathLike, as_path

SETTLED_NS: Final = 100_000_000
"""File systems count time in ticks of a few milliseconds. Two writes within one look alike, so the content of a file
that changed this recently belongs to its identity."""

FileIdentity = tuple[int, int, int, int, int, str]
"""Device, inode, size, times of modification and of change in nanoseconds, and a digest of a file that just changed."""


def identify(path: PathLike) -> FileIdentity:
    """Which content this path holds now.

    Raises:
        DatabaseNotFoundError: there is no such file.
        DatabaseUnreadableError: it is a folder, a pipe or a device.
    """
    try:
        found = os.stat(path)  # noqa: PTH116  Path.stat doubles the cost of the most frequent call
        if not stat.S_ISREG(found.st_mode):
            raise DatabaseUnreadableError(as_path(path), f"it is {_kind(found.st_mode)}; expected a SQLite file")
        recent = -SETTLED_NS < time_ns() - found.st_ctime_ns < SETTLED_NS
        digest = _digest(path) if recent else ""
    except (OSError, ValueError) as error:
        raise DatabaseNotFoundError(as_path(path)) from error
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns, digest)


def _digest(path: PathLike) -> str:
    try:
        with open(path, "rb") as file:  # noqa: PTH123  as above
            return hashlib.file_digest(file, "blake2b").hexdigest()
    except OSError:
        return ""  # opening it as a database will say why


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a folder"
    if stat.S_ISFIFO(mode):
        return "a named pipe"
    return "a socket" if stat.S_ISSOCK(mode) else "a device"
