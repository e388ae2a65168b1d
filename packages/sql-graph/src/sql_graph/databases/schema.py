"""What a database holds, read once through SQLAlchemy's inspector: tables, keys, comments and a few values.

Reading never fails because of one odd table or value. What cannot be read is left out and logged, because real
databases hold views on dropped tables, keys to missing columns and bytes that are no text.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import inspect
from sqlalchemy.engine.reflection import ObjectKind
from sqlalchemy.exc import SAWarning, SQLAlchemyError
from sqlalchemy.types import NullType, TypeEngine

from sql_graph.keywords import SQLITE

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect, Engine
    from sqlalchemy.engine.reflection import Inspector

_log = logging.getLogger(__name__)
_NOISE = re.compile(r"""\s+(?:COLLATE|CHARACTER SET)\s+(?:"[^"]*"|\S+)""", re.IGNORECASE)
_WITH_SCHEMAS = ("postgresql", "mssql")
_CASE_MATTERS = ("postgresql", "oracle")
"""Dialects that fold unquoted names to one case, so that a name with capitals must be quoted."""
_NOTHING: Mapping[str, Any] = {}
_WIDTH = re.compile(r"((?:TINY|SMALL|MEDIUM|BIG)?INT(?:EGER)?)\(\d+\)")
SYSTEM_SCHEMAS = re.compile(r"^(?:information_schema|pg_.*|sys|INFORMATION_SCHEMA|db_.*|guest)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column as the database declares it, with values seen in it."""

    name: str
    type: str
    """As the dialect spells it; empty where none is declared."""
    comment: str = ""
    is_text: bool = False
    """Whether the type holds text, so that samples are worth reading."""
    values: tuple[str, ...] = ()
    """Distinct text values seen in the first rows, in order of appearance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignKey:
    """Columns of one table that refer, in order, to columns of another; those may be missing from the schema."""

    columns: tuple[str, ...]
    table: str
    referred_columns: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table or view. `name` holds the schema before a dot unless it is the default one."""

    name: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    comment: str = ""
    is_view: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """All tables of a database: by schema, tables before views, by name. PostgreSQL itself keeps no order."""

    tables: tuple[Table, ...]
    quoted: Mapping[str, str] = field(default_factory=dict[str, str])
    """How to write, in SQL, each name of a table or column that cannot be written as it is."""

    def spell(self, name: str) -> str:
        """A table's or column's name as it has to be written in SQL."""
        return self.quoted.get(name, name)


def read_schema(engine: Engine, *, hidden: frozenset[str] = frozenset()) -> Schema:
    """Every table and view of the default schema, and of others the user may see, by qualified name.

    Those whose lower-case name is `hidden` are left out.

    Raises:
        SQLAlchemyError: the database cannot be reached.
    """
    with warnings.catch_warnings(), engine.connect() as connection:
        warnings.simplefilter("ignore", SAWarning)  # unknown types and keys to missing tables, both expected
        inspector = inspect(connection)
        tables = tuple(table for schema in _schemas(inspector) for table in _read_tables(inspector, schema, hidden))
        return Schema(tables=tables, quoted=_quoted_names(tables, inspector.dialect))


def _schemas(inspector: Inspector) -> list[str | None]:
    """The default schema (None), then the others where a database holds several of its own."""
    if inspector.dialect.name not in _WITH_SCHEMAS:
        return [None]
    default = inspector.default_schema_name
    others = [name for name in inspector.get_schema_names() if name.rpartition(".")[2] != default]
    return [None, *(name for name in others if not SYSTEM_SCHEMAS.search(name))]


def _read_tables(inspector: Inspector, schema: str | None, hidden: frozenset[str]) -> list[Table]:
    names = sorted(name for name in inspector.get_table_names(schema=schema) if name.lower() not in hidden)
    views = sorted(name for name in inspector.get_view_names(schema=schema) if name.lower() not in hidden)
    columns = _by_table(inspector, "columns", schema, [*names, *views])
    keys = _by_table(inspector, "pk_constraint", schema, names)
    references = _by_table(inspector, "foreign_keys", schema, names)
    comments = _by_table(inspector, "table_comment", schema, names)
    tables: list[Table] = []
    for name in [*names, *views]:
        if not columns.get(name):
            _log.warning("table %r has no readable columns; it is left out of the schema", name)
            continue
        tables.append(
            _table(
                inspector.dialect,
                schema=schema,
                name=name,
                columns=columns[name],
                key=keys.get(name) or {},
                references=references.get(name) or (),
                comment=str((comments.get(name) or _NOTHING).get("text") or ""),
                is_view=name in views,
            )
        )
    return tables


def _by_table(inspector: Inspector, what: str, schema: str | None, names: list[str]) -> dict[str, Any]:
    """One kind of fact for all tables at once, or table by table where that fails for one of them."""
    try:
        found = getattr(inspector, f"get_multi_{what}")(schema=schema, kind=ObjectKind.ANY)
        return {name: facts for (_, name), facts in found.items()}
    except NotImplementedError:
        return {}
    except Exception as error:  # noqa: BLE001  dialects fail in many ways on odd tables; each is then asked for alone
        _log.info("reading %s of all tables failed (%s); reading table by table", what, type(error).__name__)
    facts_by_name: dict[str, Any] = {}
    for name in names:
        try:
            facts_by_name[name] = getattr(inspector, f"get_{what}")(name, schema=schema)
        except Exception as error:  # noqa: BLE001  as above: one odd table must not hide the others
            _log.warning("cannot read %s of table %r (%s); left out", what, name, type(error).__name__)
    return facts_by_name


def _table(
    dialect: Dialect,
    *,
    schema: str | None,
    name: str,
    columns: Iterable[Mapping[str, Any]],
    key: Mapping[str, Any],
    references: Iterable[Mapping[str, Any]],
    comment: str,
    is_view: bool,
) -> Table:
    foreign_keys = tuple(
        ForeignKey(
            columns=tuple(reference["constrained_columns"]),
            table=_qualified(reference.get("referred_schema"), reference["referred_table"]),
            referred_columns=tuple(c for c in reference["referred_columns"] if c),
        )
        for reference in references
        if reference.get("referred_table")
    )
    return Table(
        name=_qualified(schema, name),
        columns=tuple(_column(dialect, column) for column in columns),
        primary_key=tuple(key.get("constrained_columns") or ()),
        foreign_keys=foreign_keys,
        comment=comment,
        is_view=is_view,
    )


def _column(dialect: Dialect, column: Mapping[str, Any]) -> Column:
    kind: TypeEngine[Any] = column["type"]
    return Column(
        name=str(column["name"]),
        type=_type_text(kind, dialect),
        comment=str(column.get("comment") or ""),
        is_text=dialect.name == "sqlite" or _holds_text(kind),
    )


def _holds_text(kind: TypeEngine[Any]) -> bool:
    try:
        return kind.python_type is str
    except NotImplementedError:
        return False


def _type_text(kind: TypeEngine[Any], dialect: Dialect) -> str:
    if isinstance(kind, NullType):
        return ""
    try:
        return _WIDTH.sub(r"\1", _NOISE.sub("", kind.compile(dialect=dialect)))
    except (SQLAlchemyError, NotImplementedError):
        return type(kind).__name__.upper()


def _qualified(schema: str | None, name: str) -> str:
    return f"{schema.rpartition('.')[2]}.{name}" if schema else name


def _quoted_names(tables: tuple[Table, ...], dialect: Dialect) -> dict[str, str]:
    """Names that need quotes: reserved words, odd characters and, where case matters, capitals."""
    names: dict[str, None] = {}
    for table in tables:
        names |= dict.fromkeys((table.name, *(column.name for column in table.columns)))
        for key in table.foreign_keys:
            names |= dict.fromkeys((key.table, *key.columns, *key.referred_columns))
    spelled = {name: _spelled(name, dialect) for name in names}
    return {name: text for name, text in spelled.items() if text != name}


def _spelled(name: str, dialect: Dialect) -> str:
    preparer = dialect.identifier_preparer
    owner, dot, own = name.partition(".") if dialect.name in _WITH_SCHEMAS else ("", "", name)
    if dot:
        return f"{_spelled(owner, dialect)}.{_spelled(own, dialect)}"
    if dialect.name == "sqlite" and name.lower() in SQLITE:
        return preparer.quote_identifier(name)
    if dialect.name in _CASE_MATTERS or preparer.quote(name.lower()) != name.lower():
        return preparer.quote(name) if dialect.name in _CASE_MATTERS else preparer.quote_identifier(name)
    return name
