"""Runs queries, read-only: one module for each kind of database, each by its own means."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from sql_graph.databases.base import Backend, Fault, Fetched
from sql_graph.databases.files import PathLike
from sql_graph.errors import DatabaseNotFoundError, UnknownDialectError

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

    from sql_graph.databases.limits import DatabaseLimits

__all__ = ["Backend", "Fault", "Fetched", "open_backend"]

_DUCKDB_SUFFIXES = (".duckdb", ".ddb")


def open_backend(address: PathLike | URL, *, limits: DatabaseLimits) -> Backend:
    """The backend for a file (DuckDB where its name ends in .duckdb or .ddb, else SQLite) or a SQLAlchemy URL.

    Nothing is opened yet. The messages of the errors never hold the URL, which may hold a password.

    Raises:
        DatabaseNotFoundError: the URL names no file where it should.
        UnknownDialectError: this is no URL, or its dialect or driver is not installed.
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    if isinstance(address, os.PathLike):
        return _file_backend(Path(address))
    if not str(address):
        raise DatabaseNotFoundError(database="", reason="the address is empty", advice="give a file or a URL")
    if isinstance(address, str) and "://" not in address:
        return _file_backend(Path(address))
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        raise UnknownDialectError(
            "this is not a database URL", advice="expected dialect://user:password@host/name"
        ) from None
    kind = url.get_backend_name()
    if kind in ("sqlite", "duckdb"):
        return _file_url_backend(url, kind)
    if kind in ("postgresql", "postgres"):
        _require("psycopg", "PostgreSQL", extra="postgresql", dialect=kind)
        from sql_graph.databases.postgresql import PostgresqlBackend

        return PostgresqlBackend(url)
    if kind in ("mysql", "mariadb"):
        _require("pymysql", "MySQL and MariaDB", extra="mysql", dialect=kind)
        from sql_graph.databases.mysql import MysqlBackend

        return MysqlBackend(url, limits=limits)
    return _other_backend(url, kind)


def _file_backend(path: Path) -> Backend:
    from sql_graph.databases.sqlite import SqliteBackend

    if path.suffix.lower() in _DUCKDB_SUFFIXES:
        from sql_graph.databases.duckdb import DuckdbBackend

        return DuckdbBackend(path)
    return SqliteBackend(path)


def _file_url_backend(url: URL, kind: str) -> Backend:
    name = url.database or ""
    if name.startswith("file:"):
        name = unquote(name.removeprefix("file:").partition("?")[0])
    if name in ("", ":memory:"):
        raise DatabaseNotFoundError(
            database=f"{kind}:///{name}" if name else f"{kind}://",
            reason="the URL names no file, and a database in memory is empty",
            advice=f"expected {kind}:///path/to/file",
        )
    if kind == "duckdb":
        from sql_graph.databases.duckdb import DuckdbBackend

        return DuckdbBackend(Path(name))
    from sql_graph.databases.sqlite import SqliteBackend

    return SqliteBackend(Path(name))


def _require(module: str, databases: str, *, extra: str, dialect: str) -> None:
    if find_spec(module) is None:
        raise UnknownDialectError(
            f"the driver for {databases} is not installed",
            advice=f"run: pip install 'sql-graph[{extra}]'",
            dialect=dialect,
        )


def _other_backend(url: URL, kind: str) -> Backend:
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    from sql_graph.databases.generic import GenericBackend

    try:
        return GenericBackend(url)
    except NoSuchModuleError:
        raise UnknownDialectError(
            f"no SQLAlchemy dialect {kind!r} is installed",
            advice="check the spelling, or install the package that adds it",
            dialect=kind,
        ) from None
    except ImportError as error:
        raise UnknownDialectError(
            f"the driver for {url.drivername!r} is not installed ({error.name or error})",
            advice="install it with pip",
            dialect=url.drivername,
        ) from None
    except (ArgumentError, TypeError, ValueError):
        raise UnknownDialectError(
            f"the {kind!r} URL cannot be used as it is",
            advice="check its parts and options",
            dialect=url.drivername,
        ) from None
