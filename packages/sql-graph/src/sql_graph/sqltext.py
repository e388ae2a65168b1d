"""What can be told of SQL from its text alone, without a parser: does it begin like SQL, is it prose, is it the same.

Enough to tell a query from the words around it; whether it may run is for the executor to say.
"""

from __future__ import annotations

import re

_QUOTED = re.compile(
    r"'(?:[^'\n]|'')*(?:'|$)|\"(?:[^\"\n]|\"\")*(?:\"|$)|--[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL | re.MULTILINE
)
"""Strings, quoted names and comments. An open quote ends with its line, an open comment with the text."""
_LEAD = re.compile(r"(?:\s+|--[^\n]*(?:\n|$)|/\*.*?(?:\*/|\Z)|\()*", re.DOTALL)
READ = re.compile(
    r"select\b(?!\s*[:,.])|with\s+(?:recursive\s+)?[\w\"`\[\]]+\s*(?:\([^()]*\)\s*)?as\b|values\s*\(|explain\s+\w|"
    r"table\s+\w+\s*;?\s*$|pragma\s+\w|show\s+\w|describe\s+\w",
    re.IGNORECASE,
)
"""How statements begin that read."""
WRITE = re.compile(
    r"(?:insert|replace)\s+(?:or\s+\w+\s+)?into\b|update\s+\S+\s+set\b|delete\s+from\b|merge\s+into\b|"
    r"(?:create|alter|drop)\s+(?:\w+\s+)*(?:table|view|index|trigger|database|schema|user|role|function|extension)\b|"
    r"truncate\s+\w|attach\s+\S|detach\s+\S|vacuum\b|reindex\b|analyze\b|begin\b|commit\b|rollback\b|savepoint\s|"
    r"(?:grant|revoke)\s+\w|copy\s+\S|load\s+\S|install\s+\S|set\s+\w|call\s+\w|do\s+\$|lock\s+\w|exec(?:ute)?\s+\w",
    re.IGNORECASE,
)
"""How other statements begin. They are SQL all the same, and the executor refuses them."""
_SKETCH = re.compile(r"\.\.\.|…|<\w+>|\{\w+\}|\bYOUR[ _]\w+", re.IGNORECASE)
_PROSE = re.compile(r"\b(?:the|whose|please|you|your|we|this|that|these|let's|i'll)\b", re.IGNORECASE)
_SENTENCE = re.compile(r"\s*(?:[-*#>]+\s+)?(?:\*\*\w|[A-Z][a-z']+\b|I\b)")
_LABEL = re.compile(r"\s*[A-Za-z][\w ]{1,20}:(?!:)")
_CLAUSE = re.compile(
    r"\s*(?:[(),]|--|/\*|(?:select|from|where|join|left|right|inner|outer|full|cross|natural|on|using|and|or|not|group|"
    r"order|having|limit|offset|fetch|union|intersect|except|with|values|window|case|when|then|else|end|as|distinct)\b)",
    re.IGNORECASE,
)


def begins(kind: re.Pattern[str], text: str) -> bool:
    """Whether a text, after comments and parentheses, begins as `kind` says and leaves nothing to be filled in."""
    start = _LEAD.match(text)
    return kind.match(text, start.end() if start else 0) is not None and not _SKETCH.search(plain(text))


def plain(sql: str) -> str:
    """A query without what its quotes and comments hold."""
    return _QUOTED.sub("''", sql)


def masked(text: str) -> str:
    """A text of the same length and lines, with an `x` for each character in quotes and comments."""
    return _QUOTED.sub(lambda quoted: re.sub(r"[^\n]", "x", quoted.group()), text)


def canonical_query(sql: str) -> str:
    """A query with white space outside quotes made single and closing semicolons removed."""
    parts: list[str] = []
    end = 0
    for quoted in _QUOTED.finditer(sql):
        parts += [re.sub(r"\s+", " ", sql[end : quoted.start()]), quoted.group()]
        end = quoted.end()
    parts.append(re.sub(r"\s+", " ", sql[end:]))
    return "".join(parts).strip(" ;\n")


def same_query(left: str, right: str) -> bool:
    """Whether two queries are the same but for white space outside quotes and closing semicolons."""
    return canonical_query(left) == canonical_query(right)


def reads_as_prose(text: str) -> bool:
    """Whether a text that begins like SQL is a sentence: `Select all singers from the table.`"""
    words = plain(text)
    return words.rstrip().endswith((".", "!", "?", ":")) or _PROSE.search(words) is not None


def continues(line: str) -> bool:
    """Whether a line begins with a clause of SQL."""
    return _CLAUSE.match(line) is not None


def ends_sql(line: str) -> bool:
    """Whether a line is no clause of SQL but a label, or a sentence: a capitalised word first and a stop last."""
    if _LABEL.match(line):
        return True
    stopped = line.rstrip("* \n").endswith((".", ":", "!"))
    return stopped and _SENTENCE.match(line) is not None and not continues(line)
