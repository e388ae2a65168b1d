"""What file-based databases share: a file that is never created, and that may be replaced under our feet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sql_graph.errors import DatabaseNotFoundError, DatabaseUnavailableError

if TYPE_CHECKING:
    from pathlib import Path


def file_identity(path: Path) -> tuple[int, int, int, int]:
    """Device, inode, size in bytes and time of change in ns.

    Raises:
        DatabaseNotFoundError: there is no such file.
        DatabaseUnavailableError: it is a folder, or may not be looked at.
    """
    try:
        stat = path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DatabaseNotFoundError(
            f"no database at {str(path)!r}; check the path: a database is never created here"
        ) from error
    except OSError as error:
        raise DatabaseUnavailableError(
            f"cannot look at the database file {str(path)!r}: {error.strerror}; check its permissions"
        ) from error
    if path.is_dir():
        raise DatabaseUnavailableError(f"{str(path)!r} is a folder; give the path of the database file in it")
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns
