"""Read the databases of the mini benchmark from the data files beside this module.

A file holds tables with rows as CSV; an empty cell is NULL. Each column has the words that people use for it, so that
questions can name it. This module has no notion of questions or queries.
"""

from __future__ import annotations

import csv
import io
import sqlite3
import tomllib
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

UNSEEN = ("gallery", "zoo")
"""Databases that occur only in the test split."""


class Role(StrEnum):
    """The role of a column in a question."""

    KEY = "key"
    LABEL = "label"
    """The name a person uses for a row."""
    CATEGORY = "category"
    """A few values, each in many rows."""
    NUMBER = "number"
    """A number that can be added and averaged."""
    YEAR = "year"
    DATE = "date"
    """Text as YYYY-MM-DD."""
    LINK = "link"
    """Foreign key to the key of another table."""


_WORDS = {
    Role.NUMBER: ("above", "greater than", "below", "less than", "highest", "largest", "lowest", "smallest"),
    Role.YEAR: ("after", "later than", "before", "earlier than", "latest", "most recent", "earliest", "first"),
}
_WORDS[Role.DATE] = _WORDS[Role.YEAR]


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column and its words. `str()` gives its name, so a query template can hold a column."""

    name: str
    type: str
    role: Role
    phrase: str = ""
    many: str = ""
    table: str = ""
    """The table that a link refers to."""
    one: str = ""
    """The word for a row of that table as this link's target, when it differs: `manager`, not `employee`."""
    nullable: bool = False

    def __str__(self) -> str:
        return self.name

    @property
    def a(self) -> str:
        """The phrase with its article."""
        return with_article(self.phrase)

    def __getattr__(self, name: str) -> str:
        words = ("more", "more2", "less", "less2", "most", "most2", "least", "least2")
        if name in words and self.role in _WORDS:
            return _WORDS[self.role][words.index(name)]
        raise AttributeError(name)


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table with its rows, in the order of the columns."""

    name: str
    one: str
    many: str
    person: bool
    columns: tuple[Column, ...]
    key_columns: tuple[str, ...]
    rows: tuple[tuple[str | int | float | None, ...], ...]

    def __str__(self) -> str:
        return self.name

    @property
    def a(self) -> str:
        """A single row in words, with its article."""
        return with_article(self.one)

    @property
    def One(self) -> str:  # noqa: N802  a template starts a sentence with it
        """The word for a row, capitalised."""
        return self.one.capitalize()

    @property
    def it(self) -> str:
        """The pronoun for a row."""
        return "them" if self.person else "it"

    @property
    def its(self) -> str:
        """The possessive for a row."""
        return "their" if self.person else "its"

    @property
    def key(self) -> str:
        """The first column of the primary key."""
        return self.key_columns[0]

    @cached_property
    def label(self) -> Column | None:
        """The column whose value names a row, if there is one."""
        return next((column for column in self.columns if column.role is Role.LABEL), None)

    def of(self, *roles: Role) -> tuple[Column, ...]:
        """The columns with one of these roles, in order."""
        return tuple(column for column in self.columns if column.role in roles)

    def create_sql(self) -> str:
        """The CREATE TABLE statement, with keys and NOT NULL."""
        lines: list[str] = []
        for column in self.columns:
            single = self.key_columns == (column.name,)
            lines.append(
                f"{column.name} {column.type}"
                + (" PRIMARY KEY" if single else "")
                + ("" if column.nullable or single else " NOT NULL")
            )
        if len(self.key_columns) > 1:
            lines.append(f"PRIMARY KEY ({', '.join(self.key_columns)})")
        lines += [f"FOREIGN KEY ({link}) REFERENCES {link.table}(id)" for link in self.of(Role.LINK)]
        return f"CREATE TABLE {self.name} (\n  " + ",\n  ".join(lines) + "\n)"


@dataclass(frozen=True, kw_only=True)
class MiniDatabase:
    """One database. A foreign key refers to an earlier table, or to its own."""

    db_id: str
    tables: tuple[Table, ...]

    def table(self, name: str) -> Table:
        """The table of this name."""
        return next(table for table in self.tables if table.name == name)

    def fill(self, connection: sqlite3.Connection) -> None:
        """Create all tables in an empty database and insert all rows."""
        for table in self.tables:
            connection.execute(table.create_sql())
            marks = ", ".join("?" * len(table.columns))
            connection.executemany(f"INSERT INTO {table.name} VALUES ({marks})", table.rows)
        connection.commit()

    def write(self, path: Path) -> None:
        """Make the SQLite file `path`.

        Raises:
            OSError: the file cannot be written.
        """
        with closing(sqlite3.connect(":memory:")) as connection:
            self.fill(connection)
            path.write_bytes(connection.serialize())


def load_databases() -> tuple[MiniDatabase, ...]:
    """All databases, sorted by id."""
    folder = files("spider_data.mini") / "databases"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".toml"))
    return tuple(
        _database(name.removesuffix(".toml"), tomllib.loads((folder / name).read_text("utf-8"))) for name in names
    )


def with_article(words: str) -> str:
    """`age` gives `an age`, `fee` gives `a fee`."""
    return ("an " if words[:1] in "aeiou" else "a ") + words


def _database(db_id: str, data: dict[str, Any]) -> MiniDatabase:
    return MiniDatabase(db_id=db_id, tables=tuple(_table(entry) for entry in data["table"]))


def _table(entry: dict[str, Any]) -> Table:
    columns = tuple(_column(column) for column in entry["columns"])
    rows = tuple(
        tuple(_cell(text, column) for text, column in zip(row, columns, strict=True))
        for row in csv.reader(io.StringIO(entry["rows"]))
        if row
    )
    keys = cast("list[str]", entry.get("key") or [column.name for column in columns if column.role is Role.KEY])
    return Table(
        name=entry["name"],
        one=entry["one"],
        many=entry["many"],
        person=entry.get("person", False),
        columns=columns,
        key_columns=tuple(keys),
        rows=rows,
    )


def _column(entry: dict[str, Any]) -> Column:
    role = Role(entry.pop("role"))
    return Column(role=role, **entry)


def _cell(text: str, column: Column) -> str | int | float | None:
    if text == "":
        return None
    if column.type == "INTEGER":
        return int(text)
    return float(text) if column.type == "REAL" else text
