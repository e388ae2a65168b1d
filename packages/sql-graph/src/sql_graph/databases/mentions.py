"""Which tables a query mentions, under which names, and which text values it compares columns with.

Enough to explain a failed query; no parser. A query that is no SQL mentions what it seems to, or nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    r"(?P<text>'(?:[^']|'')*')|\"(?P<double>(?:[^\"]|\"\")*)\"|`(?P<tick>[^`]*)`|\[(?P<bracket>[^\]]*)\]"
    r"|(?P<word>[^\W\d][\w$]*)|(?P<number>\d+(?:\.\d+)?)|(?P<mark><>|!=|<=|>=|\S)|--[^\n]*|/\*.*?\*/",
    re.DOTALL,
)
_NO_ALIAS = frozenset(
    {
        "on", "using", "where", "group", "order", "having", "limit", "join", "inner", "left", "right", "full", "cross",
        "natural", "outer", "union", "intersect", "except", "as", "set", "values", "select", "from", "and", "or",
        "offset", "fetch", "window", "straight_join",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    """`text`, `name` (a word or a quoted name), `number` or `mark`."""
    value: str
    quoted: bool = False

    def says(self, *words: str) -> bool:
        """Whether this is one of these keywords or marks."""
        return not self.quoted and self.kind in ("name", "mark") and self.value.lower() in words


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """A column compared with a text value: `owner.column = 'value'`, also in IN and LIKE."""

    column: str
    owner: str
    """The table's name or alias before the dot; empty where there is none."""
    value: str
    """As it is meant: quotes undone, the wildcards of LIKE removed."""


def tables_in(sql: str) -> dict[str, str]:
    """The tables that a query reads: lower-case alias, or name where it has none, to the name in the query."""
    tokens = list(_tokens(sql))
    found: dict[str, str] = {}
    i = 0
    while i < len(tokens):
        if tokens[i].says("from", "join"):
            i += 1
            while i < len(tokens):
                i = _one_table(tokens, i, found)
                if i < len(tokens) and tokens[i].says(","):
                    i += 1
                    continue
                break
        else:
            i += 1
    return found


def filters_in(sql: str) -> list[Filter]:
    """The comparisons of a column with a text value, in order."""
    tokens = list(_tokens(sql))
    found: list[Filter] = []
    for i, token in enumerate(tokens):
        if token.says("=", "<>", "!=", "like", "ilike"):
            if i + 1 < len(tokens) and tokens[i + 1].kind == "text":
                _add_filter(tokens, i, tokens[i + 1].value, found)
            elif i + 1 < len(tokens) and tokens[i + 1].quoted and tokens[i + 1].kind == "name":
                _add_filter(tokens, i, tokens[i + 1].value, found)  # SQLite and MySQL take "text" for text
        elif token.says("in") and i + 1 < len(tokens) and tokens[i + 1].says("("):
            j = i + 2
            while j < len(tokens) and not tokens[j].says(")"):
                if tokens[j].kind == "text":
                    _add_filter(tokens, i, tokens[j].value, found)
                j += 1
    return found


def _tokens(sql: str) -> Iterator[_Token]:
    for match in _TOKEN.finditer(sql):
        kind, value = match.lastgroup, match.group()
        if kind is None:
            continue
        if kind == "text":
            yield _Token("text", value[1:-1].replace("''", "'"))
        elif kind in ("double", "tick", "bracket"):
            yield _Token("name", match[kind], quoted=True)
        elif kind == "word":
            yield _Token("name", value)
        else:
            yield _Token(kind, value)


def _one_table(tokens: list[_Token], i: int, found: dict[str, str]) -> int:
    """Read `[schema.]table [AS] [alias]` at `i`; the index after it."""
    if i >= len(tokens) or tokens[i].kind != "name" or tokens[i].says("select", "lateral"):
        return i + 1 if i < len(tokens) and not tokens[i].says("select") else i
    name = tokens[i].value
    i += 1
    while i + 1 < len(tokens) and tokens[i].says(".") and tokens[i + 1].kind == "name":
        name = tokens[i + 1].value
        i += 2
    alias = name
    if i < len(tokens) and tokens[i].says("as"):
        i += 1
    if i < len(tokens) and tokens[i].kind == "name" and not tokens[i].says(*_NO_ALIAS):
        alias = tokens[i].value
        i += 1
    found[alias.lower()] = name
    return i


def _add_filter(tokens: list[_Token], at: int, value: str, found: list[Filter]) -> None:
    """Add the filter whose operator is at `at`, if a column stands before it."""
    i = at - 1
    while i >= 0 and tokens[i].says("not", ")", "collate", "nocase"):
        i -= 1
    if i < 0 or tokens[i].kind != "name":
        return
    owner = tokens[i - 2].value if i >= 2 and tokens[i - 1].says(".") and tokens[i - 2].kind == "name" else ""
    meant = value.strip("%").strip() if tokens[at].says("like", "ilike") else value
    if meant:
        found.append(Filter(column=tokens[i].value, owner=owner, value=meant))
