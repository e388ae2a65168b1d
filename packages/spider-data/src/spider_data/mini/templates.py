"""Make candidate questions from question patterns: every pattern on every fitting table, column and value.

A pattern (see `patterns.toml`) is one form of SQL with several wordings. Filling its slots on one database gives
candidates. `build.py` decides which of them become tasks, and in which split.
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
import string
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from itertools import product
from typing import Any, cast

from spider_data.mini.schema import Column, MiniDatabase, Role, Table

ORDERED = (Role.NUMBER, Role.YEAR, Role.DATE)
PLAIN = (Role.CATEGORY, Role.NUMBER, Role.YEAR, Role.DATE)


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """A family of questions: one form of SQL, several wordings."""

    name: str
    hardness: str
    share: int
    """Weight of the family within a split."""
    sql: str
    ask: Sequence[str]
    values: Mapping[str, Any] = field(default_factory=dict[str, Any])
    no_null: str = ""
    nullable: str = ""

    @property
    def slots(self) -> frozenset[str]:
        """The names that the query template asks for, without their attributes."""
        named = (name for _, name, _, _ in string.Formatter().parse(self.sql) if name)
        return frozenset(name.split(".")[0] for name in named)


@dataclass(frozen=True, slots=True)
class Value:
    """A constant: `str()` is how a question writes it, `sql` how a query does."""

    raw: str | int | float

    def __str__(self) -> str:
        return str(self.raw)

    @property
    def sql(self) -> str:
        """The literal, with quotes doubled inside text."""
        return "'" + self.raw.replace("'", "''") + "'" if isinstance(self.raw, str) else str(self.raw)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A candidate question, with everything that decides its split."""

    db_id: str
    pattern: Pattern
    columns: str
    """The tables and columns that fill the slots, as one text."""
    values: str
    """The constants, as one text; empty when the pattern has none."""
    wording: int
    question: str
    query: str

    @property
    def wording_key(self) -> str:
        """Equal for the same wording about the same columns, whatever the constants."""
        return f"{self.db_id}|{self.pattern.name}|{self.columns}|{self.wording}"

    @property
    def values_key(self) -> str:
        """Equal for the same constants about the same columns, whatever the wording."""
        return f"{self.db_id}|{self.pattern.name}|{self.columns}|{self.values}"


def load_patterns() -> tuple[Pattern, ...]:
    """All patterns in file order."""
    entries: list[dict[str, Any]] = tomllib.loads((files("spider_data.mini") / "patterns.toml").read_text("utf-8"))[
        "pattern"
    ]
    return tuple(Pattern(**entry) for entry in entries)


def spread(text: str) -> float:
    """A number in [0, 1) that depends only on the text. It gives the same shuffle on every machine."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48


def candidates(
    database: MiniDatabase, patterns: tuple[Pattern, ...], connection: sqlite3.Connection
) -> Iterator[Candidate]:
    """Every candidate of one database; `connection` holds its content."""
    for pattern in patterns:
        for table in database.tables:
            for filling in _fillings(pattern, database, table):
                columns = ",".join(f"{slot}={filling[slot]}" for slot in sorted(filling))
                for values in _values(pattern, filling, columns, connection):
                    query = pattern.sql.format(**filling, **values)
                    constants = ",".join(f"{slot}={value}" for slot, value in values.items())
                    for wording, ask in enumerate(pattern.ask):
                        yield Candidate(
                            db_id=database.db_id,
                            pattern=pattern,
                            columns=columns,
                            values=constants,
                            wording=wording,
                            question=ask.format(**filling, **values),
                            query=query,
                        )


def _fillings(pattern: Pattern, database: MiniDatabase, table: Table) -> Iterator[dict[str, Table | Column]]:
    """Tables and columns for the slots of a pattern, with `table` as its main one."""
    wanted = pattern.slots - set(pattern.values) | ({"l", "u"} if pattern.slots & {"l", "u"} else set[str]())
    links = table.of(Role.LINK) if "l" in wanted else (None,)
    for link in links:
        base: dict[str, Table | Column] = {"t": table}
        if link is not None:
            base |= {"l": link, "u": _target(database, link)}
        seconds = [other for other in table.of(Role.LINK) if other is not link] if "l2" in wanted else [None]
        for second in seconds:
            start = dict(base)
            if second is not None:
                start |= {"l2": second, "h": _target(database, second)}
            rest = sorted(wanted - set(start))
            for columns in product(*(_choices(slot, start, pattern) for slot in rest)):
                if len({id(column) for column in columns}) == len(columns):
                    yield {**start, **dict(zip(rest, columns, strict=True))}


def _target(database: MiniDatabase, link: Column) -> Table:
    """The table to which a link refers, under its name in that role."""
    table = database.table(link.table)
    return replace(table, one=link.one, many=link.many) if link.one else table


def _choices(slot: str, start: Mapping[str, Table | Column], pattern: Pattern) -> tuple[Column, ...]:
    table = start.get({"u": "u", "h": "h"}.get(slot[0], "t"))
    if not isinstance(table, Table):
        return ()
    kind = slot[-1]
    if kind == "n":
        return (table.label,) if table.label else ()
    columns = table.of(*{"c": (Role.CATEGORY,), "x": (Role.NUMBER,), "o": ORDERED, "a": PLAIN}[kind])
    if slot == pattern.no_null:
        columns = tuple(column for column in columns if not column.nullable)
    if slot == pattern.nullable:
        columns = tuple(column for column in columns if column.nullable)
    return columns


def _values(
    pattern: Pattern, filling: Mapping[str, Table | Column], columns: str, connection: sqlite3.Connection
) -> list[dict[str, Value]]:
    """Constants for the value slots: all single constants, and a fixed sample of the combinations."""
    pools = [_pool(source, filling, connection) for source in pattern.values.values()]
    names = list(pattern.values)
    found = [dict(zip(names, combination, strict=True)) for combination in product(*pools)]
    same = list(pattern.values.values())
    if len(same) == 2 and same[0] == same[1]:
        both = [(entry[names[0]].raw, entry[names[1]].raw) for entry in found]
        # Two values of one column: `x between 3 and 9`, `a or b`. Equal or reversed pairs make no question.
        found = [entry for entry, (low, high) in zip(found, both, strict=True) if _in_order(low, high)]
    found.sort(key=lambda entry: spread(f"{columns}|{[str(value) for value in entry.values()]}"))
    return found[:16]


def _in_order(low: str | float, high: str | float) -> bool:
    if isinstance(low, str) or isinstance(high, str):
        return str(low) < str(high)
    return low < high


def _pool(source: Any, filling: Mapping[str, Table | Column], connection: sqlite3.Connection) -> list[Value]:
    if isinstance(source, list):
        return [Value(item) for item in cast("list[int]", source)]
    slot: str = source.removeprefix("part of ")
    table = filling[{"u": "u", "h": "h"}.get(slot[0], "t")]
    column = filling[slot]
    rows = connection.execute(f"SELECT DISTINCT {column} FROM {table} WHERE {column} IS NOT NULL ORDER BY {column}")
    values = [row[0] for row in rows]
    if source.startswith("part of "):
        parts = {
            word[:size].lower() for value in values for word in re.findall(r"[A-Za-z]{4,}", value) for size in (2, 3)
        }
        return [Value(part) for part in sorted(parts)]
    return [Value(value) for value in values]
