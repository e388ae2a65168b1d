"""How much a statement grows when its common table expressions are written out.

SQLite copies a common table expression into every place that names it before anything can interrupt it: forty of
them, each naming the one before twice, take all memory. So the growth is estimated from the text first.
"""

from __future__ import annotations

from typing import Final

from sql_reward.rules.lexer import Kind, tokens

MAX_EXPANSIONS: Final = 2_000
"""Copies of common table expressions in one statement."""
_SKIPPED: Final = frozenset({Kind.BLANK, Kind.NEWLINE, Kind.COMMENT, Kind.HINT})
_QUOTES: Final = "\"`[]'"


def expands_too_far(sql: str) -> bool:
    """Whether writing out the common table expressions of this statement gives more than `MAX_EXPANSIONS` copies."""
    if "with" not in sql.lower():
        return False
    words = [text.strip(_QUOTES).lower() for kind, text in tokens(sql) if kind not in _SKIPPED]
    copies: dict[str, int] = {}
    open_bodies: list[tuple[str, int, int]] = []  # name, depth of its parenthesis, copies counted before it
    depth = total = 0
    for index, word in enumerate(words):
        if word == "(":
            depth += 1
            if name := _named_by(words, index):
                open_bodies.append((name, depth, total))
        elif word == ")":
            if open_bodies and open_bodies[-1][1] == depth:
                name, _, before = open_bodies.pop()
                copies[name] = 1 + total - before
                total = before
            depth -= 1
        elif word in copies and words[index - 1] != "." and words[index + 1 : index + 2] != ["."]:
            total += copies[word]
            if total > MAX_EXPANSIONS:
                return True
    return False


def _named_by(words: list[str], index: int) -> str:
    """The name whose definition opens at this parenthesis, as in `name (columns) AS NOT MATERIALIZED (`, or ''."""
    at = index - 1
    while at >= 0 and words[at] in ("materialized", "not"):
        at -= 1
    if at < 1 or words[at] != "as":
        return ""
    at -= 1
    if words[at] == ")":
        while at >= 0 and words[at] != "(":
            at -= 1
        at -= 1
    return words[at] if at >= 0 else ""
