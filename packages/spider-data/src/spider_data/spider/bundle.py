"""Download Spider 1.0: the tutorial's bundle, or the official one.

A download resumes where it stopped. `convert_spider` unpacks it safely, and only the needed members. The target appears
when it is complete. Without a network, one message says how to copy the file by hand.
"""

from __future__ import annotations

import shlex
import shutil
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from spider_data.errors import ArchiveDamagedError, DownloadError
from spider_data.manifest import Manifest, sha256_of
from spider_data.spider.archive import require_space
from spider_data.spider.convert import convert_spider, require_target
from spider_data.spider.fetch import Fetch, fetch_drive
from spider_data.spider.layout import ConvertOptions
from spider_data.storage import StrPath, data_dir, require_file


class Bundle(StrEnum):
    """The bundles that can be downloaded."""

    TUTORIAL = "tutorial"
    """Spider 1.0 with the tutorial's Parquet files, as Agent-lightning's SQL agent guide names it."""
    OFFICIAL = "official"
    """Spider 1.0 as its authors' page offers it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a bundle is and what the file is called."""

    url: str
    filename: str


ADDRESSES = {
    Bundle.TUTORIAL: Address(
        url="https://drive.google.com/file/d/1oi9J1jZP9TyM35L85CL3qeGWl2jqlnL6/view", filename="spider-data.zip"
    ),
    Bundle.OFFICIAL: Address(
        url="https://drive.google.com/file/d/1403EGqzIDoHMdQF4c9Bkyl7dZLZ5Wt6J/view", filename="spider_data.zip"
    ),
}

SPACE_BYTES = 1_500_000_000
"""Free space that a download needs: 965 MB for the 372 databases, the rest for the zip and the task files."""


def download_bundle(
    target: StrPath | None = None,
    *,
    bundle: Bundle = Bundle.TUTORIAL,
    from_file: StrPath | None = None,
    url: str | None = None,
    sha256: str | None = None,
    keep_zip: bool = False,
    fetch: Fetch = fetch_drive,
    options: ConvertOptions | None = None,
) -> Manifest:
    """Download a bundle, or take `from_file`, and make the data folder `target` from it.

    `url` names another place that has the same file; `fetch` must be able to read it. `sha256` is compared with
    the file before it is opened. The zip is removed afterwards unless `keep_zip`; `from_file` is never removed.

    Raises:
        TargetOccupiedError, DiskFullError: the target cannot be made; nothing is downloaded.
        DownloadError: the download failed; the bytes so far are kept, and the next call resumes.
        ArchiveDamagedError: the file is not a zip, is truncated, or has another checksum.
        UnsafeMemberError, SourceNotFoundError, RecordInvalidError, SchemaMismatchError: see `convert_spider`.
    """
    target = data_dir(target)
    require_target(target)
    address = ADDRESSES[bundle]
    if from_file is not None:
        from_file = Path(from_file)
        require_file(from_file, wanted="zip", advice="name the downloaded file")
        _compare(from_file, sha256)
        return convert_spider(from_file, target, options=options)
    require_space(target, SPACE_BYTES)
    store = target.absolute().parent / f".{target.name}.download"
    archive = store / address.filename
    if not archive.is_file():
        try:
            fetch(url or address.url, archive)
        except DownloadError as error:
            advice = (
                f"\nRun the same command again to resume where it stopped. Without a network here, download the file "
                f"in a browser elsewhere from\n  {address.url}\ncopy it to this machine, and run\n"
                f"  spider-data download {shlex.quote(str(target))} --bundle {bundle} --from {address.filename}"
            )
            raise replace(error, advice=advice) from error
        finally:
            if store.is_dir() and not any(store.iterdir()):
                store.rmdir()
    try:
        _compare(archive, sha256)
        manifest = convert_spider(archive, target, options=options)
    except ArchiveDamagedError:
        archive.unlink()
        raise
    if keep_zip:
        archive.replace(target.absolute().parent / address.filename)
    shutil.rmtree(store)
    return manifest


def _compare(archive: Path, sha256: str | None) -> None:
    if sha256 is None:
        return
    found = sha256_of(archive)
    if found != sha256.strip().lower():
        raise ArchiveDamagedError(
            path=archive,
            reason=f"has sha256 {found}, expected {sha256}",
            advice="download it again, or check the expected value",
        )
