"""Estimate from its text how long a statement takes to plan, because no deadline stops the planner.

Before version 3.41, SQLite checks its deadline only while a statement runs. The time to plan grows with the cube of the
number of tables in one FROM, counted after subqueries and WITH parts in it are merged. SQLite plans a WITH part again
at each use, so thirty short lines can take years. The estimate is the sum of these cubes.
"""

from __future__ import annotations

from functools import lru_cache

from sql_graph.databases.statement import TOKEN

MAX_WORK = 10_000
"""A join of twenty-one tables, or a thousand of two; about half a second for tables with several indexes."""
MAX_NESTING = 200
_CLAUSES = frozenset(
    {"SELECT", "WHERE", "GROUP", "HAVING", "WINDOW", "ORDER", "LIMIT", "UNION", "INTERSECT", "EXCEPT", "VALUES"}
)
_Token = tuple[str | None, str]


@lru_cache(maxsize=256)
def planning_work(sql: str) -> int:
    """The sum, over all FROMs as the planner meets them, of the cube of their tables; at most `MAX_WORK + 1`."""
    tokens = [(token.lastgroup, token.group()) for token in TOKEN.finditer(sql) if token.lastgroup != "gap"]
    closing, nesting = _brackets(tokens)
    if nesting > MAX_NESTING:
        return MAX_WORK + 1
    work, _ = _Planner(tokens, closing).measure(0, len(tokens), frozenset(), is_source=False)
    return work


class _Planner:
    def __init__(self, tokens: list[_Token], closing: dict[int, int]) -> None:
        self._tokens = tokens
        self._closing = closing
        self._parts = _with_parts(tokens, closing)
        self._bodies = {start for start, _ in self._parts.values()}
        self._measured: dict[str, tuple[int, int]] = {}

    def measure(self, start: int, end: int, inside: frozenset[str], *, is_source: bool) -> tuple[int, int]:
        """The work of the tokens from `start` to `end`, and the tables of their largest FROM.

        `is_source` says that these are the inside of a bracket that stands where a table could; `inside` names the
        WITH parts around them, whose use is recursion.
        """
        work = widest = 0
        tables = 1 if is_source else 0
        in_list = expected = is_source
        i = start
        while i < end:
            kind, text = self._tokens[i]
            word = text.upper() if kind == "word" else ""
            if i in self._closing:
                if i not in self._bodies:  # a WITH part counts where it is used
                    inner, width = self.measure(i + 1, self._closing[i], inside, is_source=expected)
                    work += inner
                    tables += max(0, width - 1) if expected else 0
                expected = False
                i = self._closing[i]
            elif word == "FROM" or word in _CLAUSES:
                work, widest = work + tables**3, max(widest, tables)
                in_list = expected = word == "FROM"
                tables = 1 if in_list else 0
            elif word == "JOIN" or (text == "," and in_list):
                tables, expected = max(1, tables) + 1, True
            elif kind in ("word", "name"):
                if _bare(text) in self._parts and not self._is_owner_or_function(i):
                    inner, width = self._measure_part(_bare(text), inside)
                    work += inner
                    tables += max(0, width - 1) if expected else 0
                expected = False
            i += 1
            if work > MAX_WORK or tables > MAX_WORK:
                return MAX_WORK + 1, MAX_WORK
        return min(work + tables**3, MAX_WORK + 1), max(widest, tables)

    def _measure_part(self, name: str, inside: frozenset[str]) -> tuple[int, int]:
        if name in inside:
            return 0, 1
        if name not in self._measured:
            start, end = self._parts[name]
            self._measured[name] = self.measure(start + 1, end, inside | {name}, is_source=False)
        return self._measured[name]

    def _is_owner_or_function(self, i: int) -> bool:
        return i + 1 < len(self._tokens) and self._tokens[i + 1][1] in (".", "(")


def _with_parts(tokens: list[_Token], closing: dict[int, int]) -> dict[str, tuple[int, int]]:
    """The brackets around the body of each `name [(columns)] AS [[NOT] MATERIALIZED] (body)`."""
    parts: dict[str, tuple[int, int]] = {}
    for i, (kind, text) in enumerate(tokens):
        if kind not in ("word", "name"):
            continue
        j = closing.get(i + 1, i) + 1
        if j >= len(tokens) or tokens[j][1].upper() != "AS":
            continue
        j += 1
        while j < len(tokens) and tokens[j][1].upper() in ("NOT", "MATERIALIZED"):
            j += 1
        if j in closing:
            parts[_bare(text)] = (j, closing[j])
    return parts


def _brackets(tokens: list[_Token]) -> tuple[dict[int, int], int]:
    """The closing bracket of each opening one, by position, and how deeply they are nested."""
    closing: dict[int, int] = {}
    stack: list[int] = []
    deepest = 0
    for i, (_, text) in enumerate(tokens):
        if text == "(":
            stack.append(i)
            deepest = max(deepest, len(stack))
        elif text == ")" and stack:
            closing[stack.pop()] = i
    return closing, deepest


def _bare(name: str) -> str:
    return name.strip('"`[]').lower()
