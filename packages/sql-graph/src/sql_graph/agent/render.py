"""Write a schema for a model within a token budget: whole tables, the least relevant left out first.

A table is written whole or not at all, in the order of the database. Only where the single most relevant table is
larger than the budget does it lose, in turn, its sample values, its line breaks and, last, its least relevant
columns, which are then counted. The text always says how many tables are missing.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from sql_graph.agent.linker import Linker, terms
from sql_graph.agent.shown import inert, on_one_line
from sql_graph.agent.tokens import estimate_tokens
from sql_graph.ports import SchemaStyle

if TYPE_CHECKING:
    from sql_graph.databases.schema import Column, Schema, Table

SHOWN_VALUES = 3
SHOWN_VALUE_CHARS = 30
SHOWN_COMMENT_CHARS = 100
_SHORT_TYPES = {
    "INTEGER": "int", "BIGINT": "int", "SMALLINT": "int", "TINYINT": "int", "MEDIUMINT": "int", "INT": "int",
    "VARCHAR": "text", "TEXT": "text", "CHAR": "text", "NVARCHAR": "text", "NCHAR": "text", "CLOB": "text",
    "LONGTEXT": "text", "MEDIUMTEXT": "text", "TINYTEXT": "text", "STRING": "text", "ENUM": "text",
    "FLOAT": "real", "REAL": "real", "DOUBLE": "real", "NUMERIC": "num", "DECIMAL": "num", "BOOLEAN": "bool",
    "DATETIME": "datetime", "TIMESTAMP": "datetime",
}  # fmt: skip


class SchemaWriter:
    """A schema with everything about it that does not depend on the question, worked out once, when first needed."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self._written: dict[SchemaStyle, tuple[list[str], list[int]]] = {}

    @cached_property
    def _linker(self) -> Linker:
        return Linker(self.schema)

    def render(self, question: str, *, budget_tokens: int, style: SchemaStyle) -> str:
        """At most `budget_tokens`, as `estimate_tokens` counts; the same text for the same arguments."""
        texts, sizes = self._texts(style)
        if sum(sizes) <= budget_tokens:
            return "\n".join(texts)
        best, *others = self._linker.rank(question)
        room = budget_tokens - _size(_notice(len(texts)))
        table = self.schema.tables[best]
        kept = {best: texts[best] if sizes[best] <= room else _squeezed(self.schema, table, question, room)}
        room -= _size(kept[best])
        for index in others:
            if sizes[index] <= room:
                kept[index] = texts[index]
                room -= sizes[index]
        lines = [kept[index] for index in sorted(kept)]
        return "\n".join([*lines, _notice(len(texts) - len(kept))] if len(kept) < len(texts) else lines)

    def _texts(self, style: SchemaStyle) -> tuple[list[str], list[int]]:
        """Each table as it is written, with its size in tokens."""
        if style not in self._written:
            texts = [write_table(self.schema, table, style) for table in self.schema.tables]
            self._written[style] = texts, [_size(text) for text in texts]
        return self._written[style]


def write_table(schema: Schema, table: Table, style: SchemaStyle) -> str:
    """One table as the model reads it: a CREATE statement, or one line."""
    return _full(schema, table) if style is SchemaStyle.FULL else _compact(schema, table, table.columns)


def _full(schema: Schema, table: Table, *, with_values: bool = True) -> str:
    keys = [
        f"FOREIGN KEY ({_list(schema, key.columns)}) REFERENCES {_name(schema, key.table)}"
        for key in table.foreign_keys
    ]
    for i, key in enumerate(table.foreign_keys):
        if key.referred_columns:
            keys[i] += f"({_list(schema, key.referred_columns)})"
    if len(table.primary_key) > 1:
        keys.insert(0, f"PRIMARY KEY ({_list(schema, table.primary_key)})")
    lines: list[str] = []
    for i, column in enumerate(table.columns):
        comma = "," if keys or i + 1 < len(table.columns) else ""
        lines.append(f"  {_declaration(schema, table, column)}{comma}{_remark(column, with_values=with_values)}")
    lines += [f"  {key}{',' if i + 1 < len(keys) else ''}" for i, key in enumerate(keys)]
    head = f"CREATE {'VIEW' if table.is_view else 'TABLE'} {_name(schema, table.name)} ("
    comment = f" -- {_line(table.comment, SHOWN_COMMENT_CHARS)}" if table.comment else ""
    return "\n".join([head + comment, *lines, ");"])


def _declaration(schema: Schema, table: Table, column: Column) -> str:
    key = "PRIMARY KEY" if table.primary_key == (column.name,) else ""
    kind = inert(on_one_line(column.type))
    return " ".join(part for part in (_name(schema, column.name), kind, key) if part)


def _remark(column: Column, *, with_values: bool) -> str:
    parts = [_line(column.comment, SHOWN_COMMENT_CHARS)] if column.comment else []
    if with_values and column.values:
        shown = (_line(value, SHOWN_VALUE_CHARS) for value in column.values[:SHOWN_VALUES])
        parts.append(", ".join("'" + value.replace("'", "''") + "'" for value in shown))
    return f" -- {'; '.join(parts)}" if parts else ""


def _compact(schema: Schema, table: Table, columns: tuple[Column, ...]) -> str:
    parts: list[str] = []
    for column in columns:
        words = [_name(schema, column.name), inert(on_one_line(short_type(column.type)))]
        if column.name in table.primary_key:
            words.append("pk")
        parts.append(" ".join(word for word in words if word))
    if len(columns) < len(table.columns):
        parts.append(f"{len(table.columns) - len(columns)} more columns not shown")
    name = _name(schema, table.name)
    keys = [
        f" fk {name}.{_name(schema, mine)}={_name(schema, key.table)}{f'.{_name(schema, theirs)}' if theirs else ''}"
        for key in table.foreign_keys
        for mine, theirs in zip(key.columns, key.referred_columns or ("",) * len(key.columns), strict=False)
        if any(column.name == mine for column in columns)
    ]
    return f"{name}({', '.join(parts)}){''.join(keys)}"


def short_type(declared: str) -> str:
    """A type in the fewest letters that still tell numbers, text and dates apart."""
    first = declared.upper().partition("(")[0].split()
    return _SHORT_TYPES.get(first[0], first[0].lower()) if first else ""


def _squeezed(schema: Schema, table: Table, question: str, room: int) -> str:
    """A table that is larger than the whole budget, made smaller; never cut in the middle of a column."""
    for text in (_full(schema, table, with_values=False), _compact(schema, table, table.columns)):
        if _size(text) <= room:
            return text
    asked = set(terms(question))
    relevance = {
        column.name: (column.name in table.primary_key) + 2 * len(asked.intersection(terms(column.name)))
        for column in table.columns
    }
    ranked = sorted(table.columns, key=lambda column: -relevance[column.name])
    low, high = 0, len(ranked)
    while low < high:  # the most columns that fit; sizes grow with each column
        middle = (low + high + 1) // 2
        if _size(_compact(schema, table, _in_order(table, ranked[:middle]))) <= room:
            low = middle
        else:
            high = middle - 1
    return _compact(schema, table, _in_order(table, ranked[:low]))


def _in_order(table: Table, columns: list[Column]) -> tuple[Column, ...]:
    names = {column.name for column in columns}
    return tuple(column for column in table.columns if column.name in names)


def _notice(missing: int) -> str:
    return f"-- {missing} more table{'' if missing == 1 else 's'} not shown"


def _size(text: str) -> int:
    return estimate_tokens(text) + 1  # the line break after it


def _list(schema: Schema, names: tuple[str, ...]) -> str:
    return ", ".join(_name(schema, name) for name in names)


def _name(schema: Schema, name: str) -> str:
    """A name as SQL writes it, on one line and without anything that a chat template would obey."""
    return inert(on_one_line(schema.spell(name)))


def _line(text: str, max_chars: int) -> str:
    flat = inert(on_one_line(" ".join(text[: 4 * max_chars].split())))
    return flat if len(flat) <= max_chars else f"{flat[: max_chars - 1]}…"
