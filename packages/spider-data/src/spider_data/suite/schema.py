"""Read what a variant must know of a SQLite file: what it declares and a sample of what it holds.

Reads real files as they are: quoted and reserved names, missing keys, foreign keys to tables or columns that do not
exist, text that is not UTF-8, values of another type than declared. The file is opened read-only.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from spider_data.errors import DatabaseUnreadableError
from spider_data.readonly import open_readonly, quoted
from spider_data.suite.virtual import VirtualTable, virtual_tables

_DEADLINE_S = 86_400.0
"""The limit on reading a schema and on running gold queries is in steps, not in time."""

Scalar = str | int | float | bytes | None
SAMPLE_ROWS = 1500
"""Rows that are read from each table; from a longer table, evenly spread."""


@dataclass(frozen=True, kw_only=True)
class ForeignKey:
    """Columns of a table that refer to columns of a parent table, in pairs."""

    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class SourceColumn:
    """A column that an INSERT may fill."""

    name: str
    type: str
    not_null: bool


@dataclass(frozen=True, kw_only=True)
class SourceTable:
    """A table with a sample of its rows."""

    name: str
    columns: tuple[SourceColumn, ...]
    key: tuple[str, ...]
    unique: tuple[tuple[str, ...], ...]
    """Sets of columns that the file itself keeps unique: primary key, UNIQUE, unique indexes."""
    foreign_keys: tuple[ForeignKey, ...]
    row_count: int
    sample: tuple[tuple[Scalar, ...], ...]

    @cached_property
    def position(self) -> dict[str, int]:
        """Maps a column name to its position in a row."""
        return {column.name: place for place, column in enumerate(self.columns)}

    def values(self, column: str) -> list[Scalar]:
        """The sampled values of a column, duplicates and NULLs included."""
        place = self.position[column]
        return [row[place] for row in self.sample]


@dataclass(frozen=True, kw_only=True)
class SourceSchema:
    """A whole file; parent tables come before their children where the keys allow it."""

    path: Path
    tables: tuple[SourceTable, ...]
    statements: tuple[str, ...]
    """CREATE statements of tables, then of indexes and views, as the file has them."""
    triggers: tuple[str, ...]
    virtual: tuple[VirtualTable, ...] = ()
    """The virtual tables; `tables` contains those with rows of their own too."""


@contextmanager
def reading(path: Path) -> Generator[sqlite3.Connection]:
    """A read-only connection: see `open_readonly`.

    Raises:
        SourceNotFoundError: no such file.
        DatabaseUnreadableError: SQLite refuses it.
    """
    with open_readonly(path, deadline_s=_DEADLINE_S) as connection:
        try:
            yield connection
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorname", "") in ("SQLITE_NOTADB", "SQLITE_CORRUPT", "SQLITE_IOERR"):
                raise DatabaseUnreadableError(path=path, reason=str(error)) from error
            raise


def read_schema(path: Path) -> SourceSchema:
    """The schema of a SQLite file with a sample of its data.

    Raises:
        SourceNotFoundError, DatabaseUnreadableError: see `reading`.
    """
    with reading(path) as connection:
        kinds = {row[1]: row[2] for row in connection.execute("PRAGMA table_list") if row[0] == "main"}
        names = [name for name, kind in kinds.items() if kind == "table" and not name.lower().startswith("sqlite_")]
        tables = [_table(connection, name, names) for name in names]
        virtual = virtual_tables(connection, [name for name, kind in kinds.items() if kind == "virtual"])
        tables += [_virtual(connection, table) for table in virtual if table.is_filled]
        master = connection.execute(
            "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid"
        ).fetchall()
    creates = [sql for kind, name, _, sql in master if kind == "table" and name in names]
    others = [sql for kind, _, table, sql in master if kind == "index" and table in names]
    views = [sql for kind, _, _, sql in master if kind == "view"]
    triggers = [sql for kind, _, table, sql in master if kind == "trigger" and table in kinds]
    return SourceSchema(
        path=path,
        tables=tuple(_parents_first(tables)),
        statements=(*creates, *others, *views),
        triggers=tuple(triggers),
        virtual=tuple(virtual),
    )


def _table(connection: sqlite3.Connection, name: str, names: list[str]) -> SourceTable:
    info = connection.execute(f"PRAGMA table_xinfo({quoted(name)})").fetchall()
    columns = tuple(
        SourceColumn(name=column, type=(kind or "").upper(), not_null=bool(not_null or pk))
        for _, column, kind, not_null, _, pk, hidden in info
        if hidden == 0
    )
    key = tuple(row[1] for row in sorted((row for row in info if row[5]), key=lambda row: row[5]))
    inserted = {column.name for column in columns}
    unique: list[tuple[str, ...]] = [key] if key else []
    for _, index, is_unique, _, partial in connection.execute(f"PRAGMA index_list({quoted(name)})").fetchall():
        parts = tuple(row[2] for row in connection.execute(f"PRAGMA index_info({quoted(index)})"))
        if is_unique and not partial and set(parts) <= inserted and parts not in unique:
            unique.append(parts)
    count, sample = _sample(connection, name, [column.name for column in columns])
    return SourceTable(
        name=name,
        columns=columns,
        key=key,
        unique=tuple(unique),
        foreign_keys=tuple(_foreign_keys(connection, name, names, inserted)),
        row_count=count,
        sample=sample,
    )


def _virtual(connection: sqlite3.Connection, table: VirtualTable) -> SourceTable:
    """Describe a full-text or R-tree table as a table that an INSERT can fill."""
    key = table.columns[0]
    count, sample = _sample(connection, table.name, table.columns)
    return SourceTable(
        name=table.name,
        columns=tuple(SourceColumn(name=name, type="", not_null=name == key) for name in table.columns),
        key=(key,),
        unique=((key,),),
        foreign_keys=(),
        row_count=count,
        sample=sample,
    )


def _sample(
    connection: sqlite3.Connection, name: str, columns: Sequence[str]
) -> tuple[int, tuple[tuple[Scalar, ...], ...]]:
    """The number of rows of a table, and at most `SAMPLE_ROWS` of them, evenly spread."""
    count = connection.execute(f"SELECT COUNT(*) FROM {quoted(name)}").fetchone()[0]
    step = max(1, count // SAMPLE_ROWS)
    rows = connection.execute(f"SELECT {', '.join(map(quoted, columns))} FROM {quoted(name)}") if columns else iter(())
    return count, tuple([row for place, row in enumerate(rows) if place % step == 0][:SAMPLE_ROWS])


def _foreign_keys(
    connection: sqlite3.Connection, name: str, names: list[str], inserted: set[str]
) -> Iterator[ForeignKey]:
    """The foreign keys that can hold: the parent and its columns exist."""
    actual = {table.lower(): table for table in names}
    mine = {column.lower(): column for column in inserted}
    grouped: dict[int, list[tuple[int, str, str, str | None]]] = {}
    for number, part, parent, column, target, *_ in connection.execute(f"PRAGMA foreign_key_list({quoted(name)})"):
        grouped.setdefault(number, []).append((part, parent, column, target))
    for number in sorted(grouped):
        parts = sorted(grouped[number], key=lambda part: part[0])
        parent = actual.get(parts[0][1].lower())
        if parent is None:
            continue
        info = connection.execute(f"PRAGMA table_xinfo({quoted(parent)})").fetchall()
        key = [row[1] for row in sorted((row for row in info if row[5]), key=lambda row: row[5])]
        theirs = {row[1].lower(): row[1] for row in info if row[6] == 0}  # a generated column takes no value
        targets = [
            theirs.get(target.lower()) if target else (key[place] if len(key) == len(parts) else None)
            for place, (_, _, _, target) in enumerate(parts)
        ]
        columns = [mine.get(column.lower()) for _, _, column, _ in parts]
        if all(columns) and all(targets):
            yield ForeignKey(
                columns=tuple(str(column) for column in columns),
                parent=parent,
                parent_columns=tuple(str(target) for target in targets),
            )


def _parents_first(tables: list[SourceTable]) -> Iterator[SourceTable]:
    """Order the tables by foreign keys; in a cycle, the table with the fewest missing parents comes first."""
    waiting = list(tables)
    while waiting:
        names = {table.name for table in waiting}

        def unmet(table: SourceTable, names: set[str] = names) -> int:
            return len({key.parent for key in table.foreign_keys} & (names - {table.name}))

        ready = [table for table in waiting if unmet(table) == 0] or [min(waiting, key=unmet)]
        yield from ready
        waiting = [table for table in waiting if table not in ready]
