"""The kinds of database that queries run on, each read-only by its own means."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from sql_graph.backends.base import Backend, Fault, Fetched
from sql_graph.errors import UnknownDialectError

if TYPE_CHECKING:
    from sql_graph.limits import DatabaseLimits

__all__ = ["Backend", "Fault", "Fetched", "open_backend"]


def open_backend(address: str | Path | URL, *, limits: DatabaseLimits) -> Backend:
    """The backend for a file or a SQLAlchemy URL; nothing is opened yet.

    Raises:
        UnknownDialectError: no backend, dialect or driver for this URL.
    """
    from sql_graph.backends.sqlite import SqliteBackend

    if isinstance(address, Path) or (isinstance(address, str) and "://" not in address):
        return SqliteBackend(Path(address))
    try:
        url = make_url(address)
    except ArgumentError:
        raise UnknownDialectError(
            "this is not a database URL; expected dialect://user:password@host/database"
        ) from None
    if url.get_backend_name() == "sqlite" and url.database:
        return SqliteBackend(Path(url.database))
    raise UnknownDialectError(f"no backend for {url.drivername!r}")
