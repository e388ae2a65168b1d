"""Find the virtual tables of a SQLite file that can be made again, and how each gets its rows.

Full-text tables (FTS3, FTS4, FTS5) and R-trees keep their rows in shadow tables, which SQLite makes with them. A
full-text table over another table (`content=`) is built from that table. Tables of other modules show data from
elsewhere and have no rows.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from spider_data.readonly import quoted

_MODULE = re.compile(r"\bUSING\s+[\"'`\[]?(\w+)", re.IGNORECASE)
_CONTENT = re.compile(r"[(,]\s*content\s*=\s*(\"[^\"]*\"|'[^']*'|[^\s,)]*)", re.IGNORECASE)
_FULL_TEXT = ("fts3", "fts4", "fts5")
_R_TREE = ("rtree", "rtree_i32")


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualTable:
    """A virtual table whose module this SQLite has."""

    name: str
    statement: str
    """Its CREATE statement, as the file has it."""
    columns: tuple[str, ...]
    """The columns of an INSERT, the key first; empty when the table has no rows of its own."""
    is_rebuilt: bool
    """Whether it is a full-text table over another table."""

    @property
    def is_filled(self) -> bool:
        """Whether its rows are inserted."""
        return bool(self.columns)


def virtual_tables(connection: sqlite3.Connection, names: Sequence[str]) -> list[VirtualTable]:
    """The named virtual tables in the order of creation, without those whose module this SQLite does not have."""
    found: list[VirtualTable] = []
    rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table' ORDER BY rowid").fetchall()
    for name, statement in rows:
        if name not in names:
            continue
        try:
            info = connection.execute(f"PRAGMA table_xinfo({quoted(name)})").fetchall()
            connection.execute(f"SELECT * FROM {quoted(name)} LIMIT 0")
        except sqlite3.OperationalError:
            continue
        module = _MODULE.search(statement)
        kind = module[1].lower() if module else ""
        visible = tuple(row[1] for row in info if row[6] == 0)
        content = _CONTENT.search(statement) if kind in _FULL_TEXT else None
        columns: tuple[str, ...] = ()
        if kind in _R_TREE:
            columns = visible
        elif kind in _FULL_TEXT and content is None:
            columns = ("rowid", *visible)
        is_rebuilt = content is not None and content[1].strip("\"'") != ""
        found.append(VirtualTable(name=name, statement=statement, columns=columns, is_rebuilt=is_rebuilt))
    return found


def rebuild(connection: sqlite3.Connection, table: VirtualTable) -> None:
    """Fill a full-text table from the table that it indexes."""
    connection.execute(f"INSERT INTO {quoted(table.name)}({quoted(table.name)}) VALUES ('rebuild')")
