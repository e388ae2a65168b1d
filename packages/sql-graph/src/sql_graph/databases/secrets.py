"""Keep a URL and its password out of every message."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

_BACKGROUND = re.compile(r"\(Background on this error.*", re.DOTALL)


def place(url: URL) -> str:
    """Where a database is, for messages: its name, host and port, no user and no password."""
    name = repr(url.database) if url.database else "(no name)"
    host = f" at {url.host}{f':{url.port}' if url.port else ''}" if url.host else ""
    return f"{name}{host}"


def reason(error: BaseException, url: URL) -> str:
    """An error's first words on one line, without the password or the URL it may quote."""
    text = _BACKGROUND.sub("", str(getattr(error, "orig", None) or error))
    for secret in (url.render_as_string(hide_password=False), url.password):
        if secret:
            text = text.replace(secret, "***")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return "; ".join(lines)[:300] or type(error).__name__
