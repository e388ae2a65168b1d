"""HTTP for a chat model that ends whatever the server does: bounded in seconds and in bytes.

httpx bounds each wait for more bytes, not their sum, and decompresses without end. Here every read and write of a
request is given what is left of the request's seconds, the body is read in whole, and it is counted before and after
it is decompressed. So a server that drips, never ends or sends a compressed bomb costs a bounded time and memory.
"""

from __future__ import annotations

import json
import os
import time
import weakref
import zlib
from collections.abc import Iterable
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.request import getproxies, proxy_bypass

import httpcore
import httpx

from sql_graph.agent.completion import read_completion
from sql_graph.agent.faults import AnswerError
from sql_graph.errors import ModelFault, UsageError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Generator

CHUNK_BYTES = 1 << 16
MAX_MEMBERS = 16
"""Compressed pieces in one body; usual is one."""
_CONNECTIONS: dict[str, Any] = {"max_connections": None, "max_keepalive_connections": 100, "keepalive_expiry": 5.0}
_ENCODINGS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
"""Content encodings, and the window bits by which zlib knows each."""
_ABOUT_BODY = frozenset({b"content-encoding", b"content-length", b"content-type", b"transfer-encoding"})
"""Headers that no longer hold for a body that was read in whole."""
_ends_at: ContextVar[float | None] = ContextVar("sql_graph_request_ends_at", default=None)
"""When the request of this thread has to be over, on the clock `time.monotonic`."""


class BoundedTransport(httpx.BaseTransport):
    """Sends requests and reads their whole answers within bounds. Safe to share between threads and to inherit.

    Raises:
        UsageError: the environment names a SOCKS proxy, and what that takes is not installed.
    """

    def __init__(self, url: str, *, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._proxy = _proxy_for(httpx.URL(url))
        self._ssl: ssl.SSLContext | None = None
        if url.startswith("https") or self._proxy is not None:
            self._ssl = httpx.create_ssl_context()
        self._pid = 0
        self._inherited: list[httpcore.ConnectionPool] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The answer, its body read and decompressed.

        Raises:
            TransportError: of httpx: no connection, a cut one, or none in time.
            AnswerError: the body is larger than allowed, or compressed in a way that was not asked for.
        """
        asked = httpcore.Request(
            method=request.method,
            url=httpcore.URL(
                scheme=request.url.raw_scheme,
                host=request.url.raw_host,
                port=request.url.port,
                target=request.url.raw_path,
            ),
            headers=request.headers.raw,
            content=request.read(),
            extensions=request.extensions,
        )
        with _httpx_errors():
            answer = self._pool().handle_request(asked)
            try:
                sent = self._read(answer)
            finally:
                answer.close()  # one that was not read to its end takes its connection with it
        headers = httpx.Headers(answer.headers)
        body = _decompressed(sent, headers.get("content-encoding", ""), self._max_bytes)
        kept = [
            (name, value)
            for name, value in answer.headers
            if name.lower() not in _ABOUT_BODY or name.lower() == b"content-type"
        ]
        return httpx.Response(answer.status, headers=kept, content=body)

    def close(self) -> None:
        """Close idle connections."""
        if self._pid == os.getpid():
            self._connections.close()

    def _pool(self) -> httpcore.ConnectionPool:
        """The connections of this process: a forked one must not talk on its parent's."""
        if self._pid != os.getpid():
            if self._pid:
                self._inherited.append(self._connections)
            self._connections = _open_pool(self._proxy, self._ssl)
            self._pid = os.getpid()
            weakref.finalize(self, self._connections.close)
        return self._connections

    def _read(self, answer: httpcore.Response) -> bytes:
        parts: list[bytes] = []
        size = 0
        for part in answer.iter_stream():
            size += len(part)
            if size > self._max_bytes:
                raise _too_large(self._max_bytes)
            parts.append(part)
        return b"".join(parts)


class BoundedClient(httpx.Client):
    """A client for the OpenAI library: each request is over after `timeout_s`, redirects included.

    What arrives is text in UTF-8. A successful answer is a completion; `AnswerError` is raised in place of any other.
    """

    def __init__(self, url: str, *, timeout_s: float, max_bytes: int) -> None:
        transport = BoundedTransport(url, max_bytes=max_bytes)
        super().__init__(transport=transport, follow_redirects=True, headers={"accept-encoding": "gzip, deflate"})
        self._timeout_s = timeout_s

    def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        """The answer, read in whole."""
        started = time.monotonic()
        token = _ends_at.set(started + self._timeout_s)
        try:
            answer = super().send(request, **options)
        finally:
            _ends_at.reset(token)
        if answer.is_success:
            body, kind = json.dumps(read_completion(answer.content)).encode(), "application/json"
        else:
            body, kind = answer.content.decode("utf-8", "replace").encode(), "text/plain; charset=utf-8"
        headers = [(name, value) for name, value in answer.headers.raw if name.lower() not in _ABOUT_BODY]
        clean = httpx.Response(
            answer.status_code, headers=[*headers, (b"content-type", kind.encode())], content=body, request=request
        )
        clean.elapsed = timedelta(seconds=time.monotonic() - started)
        return clean


class _Backend(httpcore.NetworkBackend):
    """Opens connections whose every step ends with the request."""

    def __init__(self) -> None:
        self._real = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        left = _left(timeout, httpcore.ConnectTimeout)
        return _Stream(
            self._real.connect_tcp(host, port, left, local_address=local_address, socket_options=socket_options)
        )


class _Stream(httpcore.NetworkStream):
    """A connection whose every step ends with the request that uses it."""

    def __init__(self, real: httpcore.NetworkStream) -> None:
        self._real = real

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._real.read(max_bytes, _left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), CHUNK_BYTES):
            self._real.write(buffer[start : start + CHUNK_BYTES], _left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._real.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = _left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._real.start_tls(ssl_context, server_hostname=server_hostname, timeout=left))

    def get_extra_info(self, info: str) -> Any:
        return self._real.get_extra_info(info)


def _left(timeout: float | None, over: type[httpcore.TimeoutException]) -> float | None:
    """The seconds that a step may take: its own, or what is left of the request's."""
    ends_at = _ends_at.get()
    if ends_at is None:
        return timeout
    left = ends_at - time.monotonic()
    if left <= 0:
        raise over("the request took longer than it may")
    return left if timeout is None else min(timeout, left)


@contextmanager
def _httpx_errors() -> Generator[None]:
    """Errors of httpcore as the errors of httpx that the OpenAI client knows."""
    try:
        yield
    except httpcore.TimeoutException as error:
        raise httpx.ReadTimeout(str(error)) from error
    except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.ProxyError) as error:
        raise httpx.NetworkError(str(error)) from error
    except httpcore.UnsupportedProtocol as error:
        raise httpx.UnsupportedProtocol(str(error)) from error


def _proxy_for(url: httpx.URL) -> httpx.Proxy | None:
    """The proxy that the environment names for this address (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY)."""
    proxies = getproxies()
    found = proxies.get(url.scheme) or proxies.get("all")
    if not found or proxy_bypass(url.host):
        return None
    if found.startswith("socks") and find_spec("socksio") is None:
        raise UsageError(
            "the environment names a SOCKS proxy, which takes another package", advice="pip install 'httpx[socks]'"
        )
    return httpx.Proxy(found if "://" in found else f"http://{found}")


def _open_pool(proxy: httpx.Proxy | None, context: ssl.SSLContext | None) -> httpcore.ConnectionPool:
    shared: dict[str, Any] = {"ssl_context": context, "network_backend": _Backend(), **_CONNECTIONS}
    if proxy is None:
        return httpcore.ConnectionPool(**shared)
    address = httpcore.URL(
        scheme=proxy.url.raw_scheme, host=proxy.url.raw_host, port=proxy.url.port, target=proxy.url.raw_path
    )
    kind = httpcore.SOCKSProxy if proxy.url.scheme.startswith("socks") else httpcore.HTTPProxy
    return kind(proxy_url=address, proxy_auth=proxy.raw_auth, **shared)


def _decompressed(body: bytes, encodings: str, max_bytes: int) -> bytes:
    """The body without its content encodings, the outermost of which is named last."""
    for named in reversed(encodings.split(",")):
        encoding = named.strip().lower()
        if encoding in ("", "identity"):
            continue
        if encoding not in _ENCODINGS:
            raise AnswerError(
                ModelFault.NOT_A_CHAT_ANSWER, f"the body has the encoding {encoding[:30]!r}, which was not asked for"
            )
        body = _inflated(body, _ENCODINGS[encoding], max_bytes)
    return body


def _inflated(body: bytes, window_bits: int, max_bytes: int) -> bytes:
    if window_bits == zlib.MAX_WBITS and body[:1] and body[0] & 0x0F != zlib.DEFLATED:
        window_bits = -zlib.MAX_WBITS  # servers that say deflate send it with or without its header
    whole = b""
    for _ in range(MAX_MEMBERS):
        stream = zlib.decompressobj(window_bits)
        try:
            whole += stream.decompress(body, max_bytes + 1 - len(whole))
        except zlib.error as error:
            raise AnswerError(ModelFault.NOT_A_CHAT_ANSWER, f"the body cannot be decompressed: {error}") from error
        if len(whole) > max_bytes:
            raise _too_large(max_bytes)
        if not stream.eof:
            raise AnswerError(ModelFault.NOT_A_CHAT_ANSWER, "the compressed body ends too early")
        body = stream.unused_data
        if not body:
            return whole
    raise AnswerError(ModelFault.NOT_A_CHAT_ANSWER, "the compressed body has too many parts")


def _too_large(max_bytes: int) -> AnswerError:
    return AnswerError(ModelFault.TOO_LARGE, f"the body has more than {max_bytes} bytes")
