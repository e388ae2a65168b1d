"""Check the text of a statement before a database gets it: is it one statement, and does it read?

This is the first line of defence, and it gives clear messages. It is never the last line: the database's own read-only
means decide what a statement may do. The lexer follows standard SQL; where a dialect differs, the server's answer
counts.
"""

from __future__ import annotations

import re

from sql_graph.databases.base import Fault
from sql_graph.ports import ObservationStatus

MAX_SQL_CHARS = 100_000
"""Longer than any query worth running; a longer one is refused unread."""
READING_WORDS = frozenset({"SELECT", "WITH", "VALUES", "TABLE"})

TOKEN = re.compile(
    r"""(?P<gap>\s+|--[^\n]*|/\*.*?(?:\*/|\Z))
      | (?P<string>'(?:[^']|'')*(?:'|\Z))
      | (?P<name>"(?:[^"]|"")*(?:"|\Z)|`[^`]*(?:`|\Z)|\[[^\]\[]*\])
      | (?P<word>[^\W\d][\w$]*)
      | (?P<mark>\d[\w.]*|.)""",
    re.DOTALL | re.VERBOSE,
)


def prepare(sql: str, *, reading: frozenset[str] = READING_WORDS) -> str | Fault:
    """The statement without what follows its end, or the reason why it is refused.

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
    return statement


def first_word(sql: str) -> str:
    """The first word in upper case, past blanks, comments and opening brackets; empty where there is none."""
    for token in TOKEN.finditer(sql):
        if token.lastgroup == "gap" or token.group() == "(":
            continue
        return token.group().upper()
    return ""


def words(sql: str) -> frozenset[str]:
    """All words outside strings, quoted names and comments, in upper case."""
    return frozenset(token.group().upper() for token in TOKEN.finditer(sql) if token.lastgroup == "word")


def has_second_statement(sql: str) -> bool:
    """Whether a semicolon stands outside strings, quoted names and comments."""
    return any(token.lastgroup == "mark" and token.group() == ";" for token in TOKEN.finditer(sql))


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
    for token in TOKEN.finditer(sql):
        if token.lastgroup != "gap" and token.group() != ";":
            end = token.end()
    return sql[:end].strip()
