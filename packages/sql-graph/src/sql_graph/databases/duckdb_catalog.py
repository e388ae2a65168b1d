"""DuckDB's schema from its own catalog functions, as its SQLAlchemy dialect does not reflect columns or keys."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from sql_graph.databases.base import Fault
from sql_graph.databases.limits import DatabaseLimits
from sql_graph.databases.schema import Column, ForeignKey, Schema, Table
from sql_graph.errors import DatabaseUnavailableError

if TYPE_CHECKING:
    from sql_graph.databases.base import Backend

_LIMITS = DatabaseLimits(deadline_s=30.0, max_rows=1_000_000, max_bytes=200_000_000)
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OF_THIS_DATABASE = "database_name = current_database() AND NOT internal"
_TABLES = (
    f"SELECT schema_name, table_name, comment, 'table' FROM duckdb_tables() WHERE {_OF_THIS_DATABASE}"
    f" UNION ALL SELECT schema_name, view_name, comment, 'view' FROM duckdb_views() WHERE {_OF_THIS_DATABASE}"
    " ORDER BY 1, 4, 2"
)
_COLUMNS = (
    "SELECT schema_name, table_name, column_name, data_type, comment FROM duckdb_columns()"
    f" WHERE {_OF_THIS_DATABASE} ORDER BY schema_name, table_name, column_index"
)
_SEPARATOR = "\x1f"
_KEYS = (
    "SELECT schema_name, table_name, constraint_type, array_to_string(constraint_column_names, chr(31)),"
    " referenced_table, array_to_string(referenced_column_names, chr(31)) FROM duckdb_constraints()"
    " WHERE database_name = current_database() AND constraint_type IN ('PRIMARY KEY', 'FOREIGN KEY')"
    " ORDER BY schema_name, table_name, constraint_index"
)
_KEYWORDS = "SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category IN ('reserved', 'type_function')"


def read_catalog(backend: Backend) -> Schema:
    """Every table and view of the database, those outside the schema `main` by qualified name.

    Raises:
        DatabaseUnavailableError: the catalog cannot be read.
    """
    columns: defaultdict[str, list[Column]] = defaultdict(list)
    for schema, table, name, kind, comment in _ask(backend, _COLUMNS):
        column = Column(name=name, type=kind, comment=comment or "", is_text=kind.startswith(("VARCHAR", "ENUM")))
        columns[_qualified(schema, table)].append(column)
    primary: dict[str, tuple[str, ...]] = {}
    foreign: defaultdict[str, list[ForeignKey]] = defaultdict(list)
    for schema, table, kind, names, referred, referred_names in _ask(backend, _KEYS):
        own = tuple(names.split(_SEPARATOR))
        if kind == "PRIMARY KEY":
            primary[_qualified(schema, table)] = own
        elif referred:
            key = ForeignKey(
                columns=own,
                table=_qualified(schema, referred),
                referred_columns=tuple((referred_names or "").split(_SEPARATOR)) if referred_names else (),
            )
            foreign[_qualified(schema, table)].append(key)
    tables = tuple(
        Table(
            name=(name := _qualified(schema, table)),
            columns=tuple(columns[name]),
            primary_key=primary.get(name, ()),
            foreign_keys=tuple(foreign.get(name, ())),
            comment=comment or "",
            is_view=kind == "view",
        )
        for schema, table, comment, kind in _ask(backend, _TABLES)
    )
    return Schema(tables=tables, quoted=_quoted(tables, {word for (word,) in _ask(backend, _KEYWORDS)}))


def _ask(backend: Backend, query: str) -> list[tuple[Any, ...]]:
    fetched = backend.fetch(query, limits=_LIMITS)
    if isinstance(fetched, Fault):
        raise DatabaseUnavailableError(
            fetched.message, action="read the schema of", database=str(backend), advice="check the file"
        )
    return fetched.rows


def _qualified(schema: str, name: str) -> str:
    return name if schema == "main" else f"{schema}.{name}"


def _quoted(tables: tuple[Table, ...], keywords: set[str]) -> dict[str, str]:
    def spelled(name: str) -> str:
        plain = _PLAIN.fullmatch(name) and name.lower() not in keywords
        return name if plain else '"{}"'.format(name.replace('"', '""'))

    names = {column.name: spelled(column.name) for table in tables for column in table.columns}
    names |= {table.name: ".".join(spelled(part) for part in table.name.split(".", 1)) for table in tables}
    return {name: text for name, text in names.items() if text != name}
