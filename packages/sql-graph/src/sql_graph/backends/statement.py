"""Look at the text of a statement before a database does: is it one, does it read, can it be planned at all?

This is the first line of defence and the source of clear messages, never the last line: what a statement may do is
decided by the database's own read-only means. The lexer follows standard SQL; where a dialect lexes otherwise, the
server's answer counts.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache

from sql_graph.backends.base import Fault
from sql_graph.ports import ObservationStatus

MAX_SQL_CHARS = 100_000
"""Longer than any query worth running; a longer one is refused unread."""
MAX_CTE_EXPANSIONS = 5_000
"""SQLite and DuckDB copy a WITH part at each use, before any deadline can stop them, so uses of uses are bounded."""
READING_WORDS = frozenset({"SELECT", "WITH", "VALUES", "TABLE"})

_TOKEN = re.compile(
    r"""(?P<gap>\s+|--[^\n]*|/\*.*?(?:\*/|\Z))
      | (?P<string>'(?:[^']|'')*(?:'|\Z))
      | (?P<name>"(?:[^"]|"")*(?:"|\Z)|`[^`]*(?:`|\Z)|\[[^\]\[]*\])
      | (?P<word>[^\W\d][\w$]*)
      | (?P<mark>\d[\w.]*|.)""",
    re.DOTALL | re.VERBOSE,
)


def prepare(sql: str, *, reading: frozenset[str] = READING_WORDS) -> str | Fault:
    """The statement without what follows its end, or why it will not be run.

    `reading` holds the upper-case words that a reading statement may begin with.
    """
    if len(sql) > MAX_SQL_CHARS:
        return _refused(f"the query is longer than {MAX_SQL_CHARS} characters")
    if "\x00" in sql or not _encodable(sql):
        return _refused("the query holds a character that is not text")
    statement = _without_end(sql)
    first = first_word(statement)
    if not first:
        return _refused("there is no statement in the query")
    if first not in reading:
        return _refused(f"only one SELECT statement can be run here, this begins with {first[:30]}")
    if "with" in statement.lower() and _cte_expansions(statement) > MAX_CTE_EXPANSIONS:
        return _refused("its WITH parts use each other too many times")
    return statement


def first_word(sql: str) -> str:
    """The first word in upper case, past blanks, comments and opening brackets; empty where there is none."""
    for token in _TOKEN.finditer(sql):
        if token.lastgroup == "gap" or token.group() == "(":
            continue
        return token.group().upper()
    return ""


def words(sql: str) -> frozenset[str]:
    """All words outside strings, quoted names and comments, in upper case."""
    return frozenset(token.group().upper() for token in _TOKEN.finditer(sql) if token.lastgroup == "word")


def has_second_statement(sql: str) -> bool:
    """Whether a semicolon stands outside strings, quoted names and comments."""
    return any(token.lastgroup == "mark" and token.group() == ";" for token in _TOKEN.finditer(sql))


def _refused(message: str) -> Fault:
    return Fault(status=ObservationStatus.REFUSED, message=message)


def _encodable(sql: str) -> bool:
    try:
        sql.encode()
    except UnicodeEncodeError:
        return False
    return True


def _without_end(sql: str) -> str:
    """Cut what follows the last token that matters: semicolons, blanks and comments."""
    if ";" not in sql:
        return sql.strip()
    end = 0
    for token in _TOKEN.finditer(sql):
        if token.lastgroup != "gap" and token.group() != ";":
            end = token.end()
    return sql[:end].strip()


@lru_cache(maxsize=256)
def _cte_expansions(sql: str) -> int:
    """How many copies of WITH parts a planner that copies at each use would make, capped.

    Every `name [(columns)] AS [[NOT] MATERIALIZED] (body)` counts as a part; an overestimate where names are reused.
    """
    tokens = [(t.lastgroup, t.group()) for t in _TOKEN.finditer(sql) if t.lastgroup != "gap"]
    bodies = _cte_bodies(tokens)
    if len(bodies) < 2:
        return 0
    uses = {name: _uses(tokens[start:end], bodies) for name, (start, end) in bodies.items()}
    cost: dict[str, int] = {}

    def cost_of(name: str, path: frozenset[str]) -> int:
        if name in path:
            return 0
        if name not in cost:
            inner = sum(n * cost_of(other, path | {name}) for other, n in uses[name].items() if other != name)
            cost[name] = min(1 + inner, MAX_CTE_EXPANSIONS + 1)
        return cost[name]

    return sum(n * cost_of(name, frozenset()) for name, n in _uses(tokens, bodies).items())


def _cte_bodies(tokens: list[tuple[str | None, str]]) -> dict[str, tuple[int, int]]:
    """The name of each WITH part with the half-open range of tokens of its body."""
    closing = _closing_brackets(tokens)
    bodies: dict[str, tuple[int, int]] = {}
    for i, (kind, text) in enumerate(tokens):
        if kind not in ("word", "name") or i + 2 >= len(tokens):
            continue
        j = i + 1
        if tokens[j][1] == "(" and j in closing:
            j = closing[j] + 1
        if j >= len(tokens) or tokens[j][1].upper() != "AS":
            continue
        j += 1
        while j < len(tokens) and tokens[j][1].upper() in ("NOT", "MATERIALIZED"):
            j += 1
        if j in closing:
            bodies[_bare(text)] = (j + 1, closing[j])
    return bodies


def _closing_brackets(tokens: list[tuple[str | None, str]]) -> dict[int, int]:
    closing: dict[int, int] = {}
    stack: list[int] = []
    for i, (_, text) in enumerate(tokens):
        if text == "(":
            stack.append(i)
        elif text == ")" and stack:
            closing[stack.pop()] = i
    return closing


def _uses(tokens: list[tuple[str | None, str]], names: dict[str, tuple[int, int]]) -> Counter[str]:
    """How often each of `names` stands as a table: not before a dot (a column's owner) nor before AS or a bracket."""
    found: Counter[str] = Counter()
    for i, (kind, text) in enumerate(tokens):
        following = tokens[i + 1][1] if i + 1 < len(tokens) else ""
        if kind in ("word", "name") and _bare(text) in names and following not in (".", "("):
            found[_bare(text)] += 1
    return found


def _bare(name: str) -> str:
    return name.strip('"`[]').lower()
