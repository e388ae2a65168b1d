"""Getting a bundle. The network is a server on this machine, or a function that plays one."""

from __future__ import annotations

import hashlib
import re
import socket
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from spider_data import check_data, download_bundle
from spider_data.cli.main import main
from spider_data.errors import (
    ArchiveDamagedError,
    DiskFullError,
    DownloadError,
    OptionInvalidError,
    SourceNotFoundError,
    TargetOccupiedError,
)
from spider_data.spider.bundle import ADDRESSES, Bundle
from spider_data.spider.fetch import fetch_drive, fetch_http


@dataclass
class Server:
    """Serves one file, and can break off, refuse ranges, or answer with an error."""

    data: bytes
    breaks_after: list[int] = field(default_factory=list)
    """Bytes sent before each of the first answers is cut short."""
    ranges: bool = True
    status: int = 200
    asked: list[str | None] = field(default_factory=list)
    """The Range header of each request."""
    url: str = ""


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, server: Server, *args: object) -> None:
        self.plan = server
        super().__init__(*args)  # pyright: ignore[reportArgumentType]

    def do_GET(self) -> None:
        plan = self.plan
        asked = self.headers.get("Range")
        plan.asked.append(asked)
        if plan.status != 200:
            self.send_error(plan.status)
            return
        start = int(re.findall(r"\d+", asked)[0]) if asked and plan.ranges else 0
        if asked and plan.ranges and start >= len(plan.data):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(plan.data)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = plan.data[start:]
        self.send_response(206 if asked and plan.ranges else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: plan.breaks_after.pop(0)] if plan.breaks_after else body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def serve() -> Generator[Callable[..., Server]]:
    servers: list[ThreadingHTTPServer] = []

    def start(data: bytes, **settings: object) -> Server:
        plan = Server(data, **settings)  # pyright: ignore[reportArgumentType]
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, plan))
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        plan.url = f"http://127.0.0.1:{server.server_address[1]}/spider.zip"
        return plan

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


DATA = bytes(range(256)) * 4000


def test_a_file_arrives_whole(serve: Callable[..., Server], tmp_path: Path) -> None:
    """The bytes are the server's, progress ends at the total, and no partial file remains."""
    server = serve(DATA)
    heard: list[tuple[int, int | None]] = []
    fetch_http(server.url, tmp_path / "a.zip", on_progress=lambda done, total: heard.append((done, total)))
    assert (tmp_path / "a.zip").read_bytes() == DATA
    assert heard[0] == (0, len(DATA))
    assert heard[-1] == (len(DATA), len(DATA))
    assert [file.name for file in tmp_path.iterdir()] == ["a.zip"]


def test_a_broken_connection_is_taken_up_where_it_stopped(serve: Callable[..., Server], tmp_path: Path) -> None:
    """Within one call two breaks are survived; each request asks only for what is missing."""
    server = serve(DATA, breaks_after=[300_000, 200_000])
    fetch_http(server.url, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == DATA
    assert server.asked == [None, "bytes=300000-", "bytes=500000-"]


def test_the_next_call_goes_on(serve: Callable[..., Server], tmp_path: Path) -> None:
    """After three breaks the call fails, keeps what arrived under another name, and the next call goes on."""
    server = serve(DATA, breaks_after=[100_000] * 3)
    with pytest.raises(DownloadError, match="broke off"):
        fetch_http(server.url, tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()
    fetch_http(server.url, tmp_path / "a.zip")
    assert server.asked[-1] == "bytes=300000-"
    assert (tmp_path / "a.zip").read_bytes() == DATA


def test_a_server_without_ranges_is_asked_from_the_start(serve: Callable[..., Server], tmp_path: Path) -> None:
    """Half a file plus a whole file would be garbage."""
    server = serve(DATA, ranges=False)
    (tmp_path / "a.zip.part").write_bytes(b"x" * 1000)
    fetch_http(server.url, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == DATA


@pytest.mark.parametrize("have", [len(DATA), len(DATA) + 5])
def test_a_partial_file_with_nothing_missing(serve: Callable[..., Server], tmp_path: Path, have: int) -> None:
    """Complete: done without a byte. Too long: another file's remains, so it is fetched anew."""
    server = serve(DATA)
    (tmp_path / "a.zip.part").write_bytes((DATA + b"extra")[:have])
    fetch_http(server.url, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == DATA


@pytest.mark.parametrize("status", [403, 404, 500])
def test_a_refusal_is_told_with_its_number(serve: Callable[..., Server], tmp_path: Path, status: int) -> None:
    """The server's words, and no file of either name."""
    server = serve(DATA, status=status)
    with pytest.raises(DownloadError, match=f"answers {status}"):
        fetch_http(server.url, tmp_path / "a.zip")
    assert not list(tmp_path.iterdir())


def test_nobody_answers(serve: Callable[..., Server], tmp_path: Path) -> None:
    """No server at that address: a failed download with the system's own words, not a traceback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(DownloadError, match="refused"):
        fetch_http(f"http://127.0.0.1:{port}/spider.zip", tmp_path / "a.zip")
    assert not list(tmp_path.iterdir())


def test_a_mirror_by_command(serve: Callable[..., Server], zipped: Path, tmp_path: Path) -> None:
    """`--url` fetches with a bar; a refusal ends with exit code 2 and the way around it."""
    server = serve(zipped.read_bytes())
    command = ["download", str(tmp_path / "data"), "--bundle", "official", "--url"]
    assert CliRunner().invoke(main, [*command, server.url]).exit_code == 0
    assert check_data(tmp_path / "data", official=False).ok
    gone = CliRunner().invoke(main, [*command, serve(b"", status=404).url])
    assert gone.exit_code == 2
    assert "answers 404" in gone.stderr
    assert "--from spider_data.zip" in gone.stderr


def test_only_http_is_fetched(tmp_path: Path) -> None:
    """`file:` and the like would read this machine."""
    with pytest.raises(OptionInvalidError, match="file:///etc/hosts"):
        fetch_http("file:///etc/hosts", tmp_path / "a.zip")


def test_a_bundle_becomes_a_data_folder(serve: Callable[..., Server], zipped: Path, tmp_path: Path) -> None:
    """From the server to a folder without faults; the zip is gone afterwards unless it is wanted."""
    server = serve(zipped.read_bytes(), breaks_after=[2000])
    manifest = download_bundle(tmp_path / "data", url=server.url, fetch=fetch_http)
    assert manifest.rows["dev.parquet"] == 4
    assert check_data(tmp_path / "data", official=False).ok
    assert not list(tmp_path.glob(".*"))
    download_bundle(tmp_path / "other", url=server.url, fetch=fetch_http, keep_zip=True)
    assert (tmp_path / "spider-data.zip").read_bytes() == zipped.read_bytes()


@pytest.mark.parametrize("bundle", list(Bundle))
def test_without_a_network_one_message_says_what_to_do(tmp_path: Path, bundle: Bundle) -> None:
    """Where the file is, and the command that takes it from disk; nothing remains but what has arrived."""

    def no_network(url: str, path: Path) -> None:
        path.parent.mkdir(parents=True)
        raise DownloadError(url=url, reason="no connection")

    with pytest.raises(DownloadError) as caught:
        download_bundle(tmp_path / "data", bundle=bundle, fetch=no_network)
    message = str(caught.value)
    assert ADDRESSES[bundle].url in message
    assert f"spider-data download {tmp_path / 'data'} --bundle {bundle} --from {ADDRESSES[bundle].filename}" in message
    assert not list(tmp_path.iterdir())


def test_a_file_placed_by_hand_is_taken(zipped: Path, tmp_path: Path) -> None:
    """`from_file` uses no network, and the file stays where it is."""

    def unexpected(url: str, path: Path) -> None:
        raise AssertionError(url)

    assert download_bundle(tmp_path / "data", from_file=zipped, fetch=unexpected).rows["test.parquet"] == 6
    assert zipped.is_file()
    with pytest.raises(SourceNotFoundError, match=r"none\.zip"):
        download_bundle(tmp_path / "other", from_file=tmp_path / "none.zip", fetch=unexpected)


def test_a_web_page_instead_of_the_zip_is_thrown_away(tmp_path: Path, zipped: Path) -> None:
    """A quota page or a broken file must not block the next try."""
    answers = [b"<html>Too many users</html>", zipped.read_bytes()]

    def fetch(url: str, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(answers.pop(0))

    with pytest.raises(ArchiveDamagedError):
        download_bundle(tmp_path / "data", fetch=fetch)
    assert not (tmp_path / "data").exists()
    assert download_bundle(tmp_path / "data", fetch=fetch).rows["dev.parquet"] == 4


def test_a_checksum_is_compared_before_the_zip_is_opened(zipped: Path, tmp_path: Path) -> None:
    """With the right one the folder is made; with another nothing is."""
    right = hashlib.sha256(zipped.read_bytes()).hexdigest()
    with pytest.raises(ArchiveDamagedError, match=right):
        download_bundle(tmp_path / "data", from_file=zipped, sha256="0" * 64)
    assert not (tmp_path / "data").exists()
    download_bundle(tmp_path / "data", from_file=zipped, sha256=right.upper())


def test_nothing_is_fetched_for_a_target_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An occupied folder and a nearly full disk are seen first."""

    def unexpected(url: str, path: Path) -> None:
        raise AssertionError(url)

    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    with pytest.raises(TargetOccupiedError):
        download_bundle(tmp_path / "mine", fetch=unexpected)
    monkeypatch.setattr("shutil.disk_usage", lambda place: SimpleNamespace(free=10**9))
    with pytest.raises(DiskFullError, match=r"1,500 MB are needed, 1,000 MB are free"):
        download_bundle(tmp_path / "data", fetch=unexpected)


def test_google_drive_goes_through_gdown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file's id from its address, resuming; its errors become ours."""
    calls: list[dict[str, object]] = []
    monkeypatch.setattr("gdown.download", lambda **settings: calls.append(settings))
    fetch_drive(ADDRESSES[Bundle.OFFICIAL].url, tmp_path / "folder" / "a.zip")
    assert calls == [
        {"id": "1403EGqzIDoHMdQF4c9Bkyl7dZLZ5Wt6J", "output": str(tmp_path / "folder" / "a.zip"), "resume": True}
    ]
    assert (tmp_path / "folder").is_dir()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gdown.exceptions.FileURLRetrievalError", "Too many users"),
        ("requests.exceptions.ConnectionError", "no connection to drive"),
        ("requests.exceptions.ReadTimeout", "Too many users"),
    ],
)
def test_google_drives_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: str) -> None:
    """gdown's own error, no connection, and a stalled one are all failed downloads, not tracebacks."""
    import importlib

    module, _, kind = name.rpartition(".")
    error = getattr(importlib.import_module(module), kind)

    def refuse(**_: object) -> None:
        raise error("\n\tToo many users have viewed the file recently.\n more")

    monkeypatch.setattr("gdown.download", refuse)
    with pytest.raises(DownloadError, match=words):
        fetch_drive(ADDRESSES[Bundle.TUTORIAL].url, tmp_path / "a.zip")
