"""Extract the needed members of a zip safely: no member leaves the target, none is a link, all bytes are checked.

Spider's zips hold everything in one folder, with schema dumps of 320 MB that nothing reads. Only the wanted members are
written, without the outer folder.
"""

from __future__ import annotations

import shutil
import stat
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from spider_data.errors import ArchiveDamagedError, DiskFullError, UnsafeMemberError
from spider_data.storage import reading, require_file, writing


def extract(
    archive: Path, target: Path, *, wanted: Callable[[PurePosixPath], bool], is_marker: Callable[[str], bool]
) -> list[Path]:
    """Extract the wanted members of `archive` under `target` and return their paths there.

    `wanted` receives each member's path without the outer folder. The outer folder is the one that holds a member whose
    name is a marker, the shallowest if there are several. Without such a member no folder is removed.

    Raises:
        SourceNotFoundError, SourceUnreadableError: there is no such file, or it cannot be read.
        ArchiveDamagedError: truncated, not a zip, encrypted, or a checksum is wrong.
        UnsafeMemberError: any member, wanted or not, has an absolute path, leaves the target with `..`, or is a link.
        DiskFullError: the wanted members do not fit on the disk; nothing was written.
        TargetUnwritableError: `target` cannot be written.
    """
    require_file(archive, wanted="folder or zip", advice="get it with `spider-data download data`")
    with reading(archive), archive.open("rb") as stream:
        start = stream.read(4)
    if not start.startswith(b"PK"):
        reason = f"is no zip file (it begins with {start!r})"
        raise ArchiveDamagedError(path=archive, reason=reason, advice="name Spider's folder or its zip")
    try:
        with reading(archive), zipfile.ZipFile(archive) as zipped:
            members = [info for info in zipped.infolist() if not info.is_dir()]
            for info in members:
                _refuse_unsafe(archive, info)
            names = [PurePosixPath(info.filename) for info in members]
            root = _wrapping_folder(names, is_marker)
            chosen = [
                (info, name.relative_to(root))
                for info, name in zip(members, names, strict=True)
                if name.is_relative_to(root) and wanted(name.relative_to(root))
            ]
            require_space(target, sum(info.file_size for info, _ in chosen))
            with writing(target):
                return [_write(zipped, info, target / name) for info, name in chosen]
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:  # the last: encrypted, or packed oddly
        raise ArchiveDamagedError(path=archive, reason=f"is damaged or truncated ({error})") from error


def require_space(place: Path, needed: int) -> None:
    """Check that `needed` bytes, and a reserve of 64 MiB, are free where `place` is or will be.

    Raises:
        DiskFullError: they are not; names both figures.
    """
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < needed + 64 * 2**20:
        raise DiskFullError(path=place, needed_bytes=needed, free_bytes=free)


def _refuse_unsafe(archive: Path, info: zipfile.ZipInfo) -> None:
    name = info.orig_filename
    parts = name.replace("\\", "/").split("/")
    climbs = name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0] or "\0" in name
    if climbs or stat.S_ISLNK(info.external_attr >> 16):
        raise UnsafeMemberError(path=archive, member=name)


def _wrapping_folder(names: list[PurePosixPath], is_marker: Callable[[str], bool]) -> PurePosixPath:
    hits = [name.parent for name in names if is_marker(name.name) and "__MACOSX" not in name.parts]
    return min(hits, key=lambda folder: (len(folder.parts), str(folder)), default=PurePosixPath())


def _write(zipped: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipped.open(info) as packed, path.open("wb") as plain:
        shutil.copyfileobj(packed, plain, 1 << 20)
    return path
