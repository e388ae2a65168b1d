"""What reaches the local server: small JSON requests from this machine, and nothing that a web page sends.

A browser lets any page post to a loopback address. Such a request names the page's origin, or, when the page's own
name was made to point here (DNS rebinding), a host that is not this machine's. Both are refused before the body is
read, and so is a body above `MAX_BODY_BYTES`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from lit_sql_trainer.local.protocol import RequestError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 8 * 2**20
"""Far more than any context that is served here holds as text."""
LINGER_S = 1.0
"""How long the rest of a refused body is received and thrown away."""
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(kw_only=True)
class Gate:
    """An ASGI application that lets the right requests through to another."""

    app: ASGIApp
    """What answers them."""
    any_host: bool = False
    """Accept every `Host`, for a server that was told to listen on more than the loopback interface."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            self._check(scope["method"], headers)
            body = await self._body(receive) if scope["method"] == "POST" else None
        except RequestError as error:
            await _refuse(error, receive, send)
            return
        await self.app(scope, receive if body is None else _replayed(body, receive), send)

    def _check(self, method: str, headers: Mapping[str, str]) -> None:
        host = headers.get("host", "")
        if not self.any_host and _hostname(f"//{host}") not in LOOPBACK_HOSTS:
            raise RequestError(403, f"this server answers to 127.0.0.1 and localhost only, not to {host!r}")
        origin = headers.get("origin")
        if origin is not None and _netloc(origin) != host:
            raise RequestError(403, f"a page of {origin!r} may not use this server")
        if method != "POST":
            return
        kind = headers.get("content-type", "application/json").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise RequestError(415, f"the content-type must be application/json, got {kind!r}")
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > MAX_BODY_BYTES:
            raise self._too_large()

    async def _body(self, receive: Receive) -> bytes:
        """The whole body; a sender that announces no length is stopped at the same size."""
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] != "http.request":  # the client has gone
                return b"".join(parts)
            part: bytes = message.get("body", b"")
            parts.append(part)
            size += len(part)
            if size > MAX_BODY_BYTES:
                raise self._too_large()
            if not message.get("more_body", False):
                return b"".join(parts)

    def _too_large(self) -> RequestError:
        return RequestError(413, f"the body is larger than {MAX_BODY_BYTES} bytes; shorten the messages")


async def _refuse(error: RequestError, receive: Receive, send: Send) -> None:
    """Answer at once, then look away from what the client still sends: closing at once could lose it the answer."""
    body = json.dumps(error.body()).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": True})
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LINGER_S):
            while (message := await receive())["type"] == "http.request" and message.get("more_body", False):
                pass
    await send({"type": "http.response.body", "body": b""})


def _replayed(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body in one piece and then what else the client does."""
    waiting = True

    async def again() -> Message:
        nonlocal waiting
        if waiting:
            waiting = False
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return again


def _hostname(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _netloc(url: str) -> str:
    """Host and port of a URL; empty when it is none, like the origin `null` of a sandboxed page."""
    try:
        return urlsplit(url).netloc
    except ValueError:
        return ""
