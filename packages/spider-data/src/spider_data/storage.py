"""Write files so that a reader sees a complete file or none, and read only regular files.

A file is written under a temporary name beside its place and renamed at the end. A full disk and a read-only place
raise errors that name the place and the next step.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Collection, Generator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from spider_data.errors import (
    DiskFullError,
    SourceNotFoundError,
    SourceUnreadableError,
    TargetOccupiedError,
    TargetUnwritableError,
)

StrPath: TypeAlias = str | os.PathLike[str]
"""The type of every path argument of a public function."""

MAKE_DATA = "make a data folder with `spider-data mini data`, or see `spider-data --help` for the other ways"
"""The next step when tasks or databases are missing."""


def data_dir(path: StrPath | None = None) -> Path:
    """The data folder: `path` if given, else `$VERL_SPIDER_DATA_DIR`, else `data`, as in the tutorial."""
    return Path(path or os.environ.get("VERL_SPIDER_DATA_DIR") or "data")


@contextmanager
def writing(path: Path) -> Generator[None]:
    """Turn the operating system's refusals while writing `path` into this package's errors.

    Raises:
        DiskFullError: no space or quota left.
        TargetUnwritableError: any other refusal, such as a read-only file system.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError(path=path) from error
        about = f": {error.filename!r}" if error.filename not in (None, str(path)) else ""
        raise TargetUnwritableError(path=path, reason=f"{error.strerror or error}{about}") from error


@contextmanager
def reading(path: Path) -> Generator[None]:
    """Turn the operating system's refusals while reading `path` into this package's error.

    Raises:
        SourceUnreadableError: no permission, a broken disk, and the like.
    """
    try:
        yield
    except OSError as error:
        raise SourceUnreadableError(path=path, reason=error.strerror or str(error)) from error


def require_file(path: Path, *, wanted: str, advice: str) -> None:
    """Check that `path` is a regular file, or a link to one: reading a pipe could wait forever, and a device may have
    no end.

    Raises:
        SourceNotFoundError: it is not.
    """
    if path.is_file():
        return
    found = "a folder" if path.is_dir() else "a pipe or a device" if path.exists() else ""
    raise SourceNotFoundError(path=path, wanted=wanted, found=found, advice=advice)


@contextmanager
def new_file(path: Path) -> Generator[Path]:
    """A temporary path to write to. It becomes `path` when the block ends without an error, and is removed otherwise.

    Raises:
        DiskFullError, TargetUnwritableError: see `writing`.
    """
    if path.exists() and not path.is_file():
        raise TargetUnwritableError(path=path, reason="a folder, a pipe or a device has that name")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        os.close(handle)
        part = Path(name)
        try:
            yield part
            part.chmod(0o644)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


@contextmanager
def new_folder(target: Path) -> Generator[Path]:
    """A temporary folder beside `target`. It becomes `target` when the block ends without an error, and is removed
    otherwise.

    Raises:
        TargetOccupiedError: `target` exists and is not an empty folder.
        DiskFullError, TargetUnwritableError: see `writing`.
    """
    if target.is_dir() and any(target.iterdir()):
        raise TargetOccupiedError(
            path=target, reason="already exists and is not empty; name a new folder, or remove that one first"
        )
    with writing(target):
        if target.exists() and not target.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "a file of that name is in the way")
        target.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent))
        try:
            part.chmod(0o755)
            yield part
            if target.is_dir():
                target.rmdir()
            part.rename(target)
        except TargetUnwritableError as error:
            if not error.path.is_relative_to(part):
                raise
            # The error names the target, which the user knows, and not the temporary folder.
            raise replace(
                error, path=target / error.path.relative_to(part), reason=error.reason.replace(str(part), str(target))
            ) from error
        finally:
            with suppress(FileNotFoundError):
                shutil.rmtree(part)


@contextmanager
def working_folder(target: Path) -> Generator[Path]:
    """A temporary folder inside an existing `target`, removed at the end: fill it, then `merge_folder` it.

    Raises:
        DiskFullError, TargetUnwritableError: see `writing`.
    """
    with writing(target), tempfile.TemporaryDirectory(prefix=".", suffix=".part", dir=target) as name:
        yield Path(name)


def merge_folder(part: Path, target: Path, *, last: str, keep: Collection[str]) -> None:
    """Move every file of `part` over its namesake in `target`, the one called `last` at the end.

    Names in `keep`, relative to `target`, stay as they are. Each file is replaced whole; other files stay.
    """
    files = [file.relative_to(part) for file in part.rglob("*") if file.is_symlink() or file.is_file()]
    for name in sorted(files, key=lambda file: (str(file) == last, file)):
        if str(name) in keep and (target / name).exists():
            continue
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (part / name).replace(target / name)


def link_file(source: Path, target: Path) -> None:
    """Make `target` a symbolic link to the real file behind `source`; nothing is copied."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.symlink_to(source.resolve())
