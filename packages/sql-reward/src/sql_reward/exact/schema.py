"""Which tables and columns a database has, and which columns its foreign keys join.

Exact match and hardness resolve names in such a schema. It comes from Spider's `tables.json`, from a
SQLite file, or from both: tables and columns of the file with the foreign keys of `tables.json`, which
is how the official evaluator combines them.
"""

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from sql_reward.errors import SqlRewardError
from sql_reward.paths import PathLike, as_path

ALL_COLUMNS = "*"


class SchemaError(SqlRewardError):
    """No schema could be read from `path`."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"cannot read a schema from {str(self.path)!r}: {self.reason}; "
            "give a tables.json of Spider's form, or a SQLite database"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Schema:
    """One database's names, all in lower case, in the order in which they were declared."""

    tables: Mapping[str, Sequence[str]]
    """Columns by table."""
    key_groups: Mapping[str, str] = field(default_factory=dict[str, str])
    """For each `table.column` of a foreign key, the one column that replaces all those joined with it."""

    @classmethod
    def of(cls, tables: Mapping[str, Sequence[str]], foreign_keys: Iterable[tuple[str, str]] = ()) -> "Schema":
        """A schema from plain names. A foreign key is a pair of `table.column`; the earlier column replaces both."""
        lowered = {table.lower(): tuple(map(str.lower, columns)) for table, columns in tables.items()}
        order = [f"{table}.{column}" for table, columns in lowered.items() for column in columns]
        pairs = [(one.lower(), other.lower()) for one, other in foreign_keys]
        return cls(tables=lowered, key_groups=_key_groups(pairs, order))

    def with_keys_of(self, other: "Schema") -> "Schema":
        """These tables and columns, with the foreign keys of `other`."""
        return replace(self, key_groups=other.key_groups)


def read_schemas(tables_json: PathLike) -> dict[str, Schema]:
    """The schemas in a file of the form of Spider's `tables.json`, by db_id.

    Raises:
        SchemaError: the file is absent, is not JSON, or has another form.
    """
    path = as_path(tables_json)
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return {str(entry["db_id"]): _schema_of_entry(entry) for entry in entries}
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise SchemaError(path, repr(error)) from error


def _schema_of_entry(entry: Mapping[str, Any]) -> Schema:
    names: list[str] = entry["table_names_original"]
    columns: list[tuple[int, str]] = entry["column_names_original"]
    tables: dict[str, list[str]] = {name: [] for name in names}
    full_names: list[str] = []
    for table, column in columns:
        full_names.append(f"{names[table]}.{column}" if table >= 0 else ALL_COLUMNS)
        if table >= 0:
            tables[names[table]].append(column)
    pairs: list[tuple[int, int]] = entry["foreign_keys"]
    return Schema.of(tables, [(full_names[one], full_names[other]) for one, other in pairs])


def read_schema(database: PathLike) -> Schema:
    """The tables of a SQLite file with its declared foreign keys. Exact match knows no views.

    Raises:
        SchemaError: the file is absent or is not a readable SQLite database.
    """
    path = as_path(database)
    if not path.is_file():  # opening a pipe would wait for ever
        raise SchemaError(path, "there is no such file")
    uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            names = [str(row[0]) for row in found]
            columns = {name: _column_names(connection, name) for name in names}
            keys = [pair for name in names for pair in _foreign_keys(connection, name)]
    except sqlite3.Error as error:
        raise SchemaError(path, str(error)) from error
    return Schema.of(columns, keys)


def _column_names(connection: sqlite3.Connection, table: str) -> list[str]:
    return [str(row[0]) for row in connection.execute("SELECT name FROM pragma_table_info(?)", (table,))]


def _foreign_keys(connection: sqlite3.Connection, table: str) -> list[tuple[str, str]]:
    """Declared keys as pairs of `table.column`. A key that names no column refers to the other's primary key."""
    declared = connection.execute('SELECT "table", "from", "to", seq FROM pragma_foreign_key_list(?)', (table,))
    pairs: list[tuple[str, str]] = []
    for other, column, target, place in declared.fetchall():
        if target is None:
            primary = connection.execute("SELECT name FROM pragma_table_info(?) WHERE pk = ?", (other, place + 1))
            found = cast("tuple[str] | None", primary.fetchone())
            if found is None:
                continue  # SQLite accepts a key to a table without a primary key, or to no table at all
            target = found[0]
        pairs.append((f"{table}.{column}", f"{other}.{target}"))
    return pairs


def _key_groups(pairs: Sequence[tuple[str, str]], order: Sequence[str]) -> dict[str, str]:
    """Each column of a foreign key to the earliest column of its group.

    A pair joins the first group that holds one of its columns; groups that share a column later stay apart, and
    a column of two groups belongs to the later one, as in the official mapping.
    """
    groups: list[set[str]] = []
    for pair in pairs:
        group = next((group for group in groups if not group.isdisjoint(pair)), None)
        if group is None:
            groups.append(group := set())
        group.update(pair)
    place = {name: position for position, name in reversed(list(enumerate(order)))}

    def earliest(group: set[str]) -> str:
        return min(group, key=lambda member: (place.get(member, len(order)), member))

    return {name: earliest(group) for group in groups for name in group}
