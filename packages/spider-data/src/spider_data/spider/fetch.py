"""Download one file over HTTP. A download resumes where it stopped; only a complete file has the final name."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable
from http import HTTPStatus
from http.client import HTTPException
from importlib import import_module
from pathlib import Path

from spider_data.errors import DownloadError, OptionInvalidError
from spider_data.storage import writing

Progress = Callable[[int, int | None], None]
"""Receives the bytes so far and the bytes in all (None while unknown)."""

Fetch = Callable[[str, Path], None]
"""Downloads an address to a path, or raises `DownloadError`."""

_ATTEMPTS = 3
_CHUNK = 1 << 18
_TIMEOUT_S = 30.0


def fetch_http(url: str, path: Path, *, on_progress: Progress = lambda done, total: None) -> None:
    """Download an http or https address to `path`; after a break, the bytes so far stay beside it for the next call.

    Raises:
        OptionInvalidError: another kind of address.
        DownloadError: no connection, refused by the server, or broken three times.
        DiskFullError, TargetUnwritableError: `path` cannot take the bytes.
    """
    if not url.startswith(("http://", "https://")):
        raise OptionInvalidError(option="url", reason=f"expected an http:// or https:// address, got {url!r}")
    part = path.with_name(f"{path.name}.part")
    reason = ""
    for attempt in range(_ATTEMPTS):
        try:
            with writing(part):
                path.parent.mkdir(parents=True, exist_ok=True)
            if _transfer(url, part, on_progress):
                part.replace(path)
                return
            reason = "the connection broke off"
        except urllib.error.HTTPError as error:
            reason = f"the server answers {error.code} {error.reason}"
            if error.code < HTTPStatus.INTERNAL_SERVER_ERROR:
                break
        except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
            reason = str(getattr(error, "reason", error)) or type(error).__name__
        if attempt == 0 and not part.exists():
            break
    raise DownloadError(url=url, reason=reason)


def fetch_drive(url: str, path: Path) -> None:
    """Download a Google Drive file with gdown, which shows its own progress and resumes.

    Raises:
        DownloadError: no connection, or Google refuses (its daily quota for popular files is a common reason).
        DiskFullError, TargetUnwritableError: `path` cannot take the bytes.
    """
    gdown, exceptions = import_module("gdown"), import_module("gdown.exceptions")
    requests = import_module("requests")
    refused = getattr(exceptions, "DownloadError", exceptions.FileURLRetrievalError)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            # With `id` gdown requests no page to find the address; it writes to a partial file in the same folder.
            gdown.download(id=url.rstrip("/").rsplit("/d/", 1)[-1].split("/")[0], output=str(path), resume=True)
        except (refused, requests.RequestException) as error:
            reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
            if isinstance(error, requests.ConnectionError):
                reason = "no connection to drive.google.com"
            raise DownloadError(url=url, reason=reason) from error


def _transfer(url: str, part: Path, on_progress: Progress) -> bool:
    """Request the missing bytes once; return whether the file is then complete."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})  # noqa: S310  checked
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_S)  # noqa: S310  the scheme was checked
    except urllib.error.HTTPError as error:
        if have and error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            total = (error.headers.get("Content-Range") or "").rpartition("/")[2]
            if total == str(have):
                return True
            part.unlink()  # a partial file of another download
            return _transfer(url, part, on_progress)
        raise
    with response:
        resumed = response.status == HTTPStatus.PARTIAL_CONTENT
        if not resumed:
            have = 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else None
        with writing(part), part.open("ab" if resumed else "wb") as stream:
            on_progress(have, total)
            while chunk := _read(response):
                stream.write(chunk)
                have += len(chunk)
                on_progress(have, total)
    return total is None or have == total


def _read(response: object) -> bytes:
    """The next bytes; a broken connection ends them, which the caller sees from the length."""
    try:
        return response.read(_CHUNK)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType]  urllib's response has no public type
    except (HTTPException, OSError):
        return b""
