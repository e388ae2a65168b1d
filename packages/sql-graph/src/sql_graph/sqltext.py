"""Examine SQL text without a parser: whether it begins like SQL, whether it is prose, whether two queries are the same.

This tells a query from the words around it; the executor decides whether the query may run. The time of every function
grows in proportion to the length of the text.
"""

from __future__ import annotations

import re

from sql_graph.keywords import OTHER, SQLITE

OPENS = r"(?:(?<![^\W_])|(?<=\b[xXnNeEbB]))"
"""Before a quote that can open a string: not an apostrophe inside a word."""
QUOTED = re.compile(
    rf"(?=['\"`\[/-])(?:{OPENS}'(?:[^'\n\\]|\\'(?=\w)|\\)*+'|{OPENS}'[^']*+'(?!\w)|{OPENS}'[^\n]*"
    rf"|{OPENS}\"[^\"\n]*+\"|{OPENS}\"[^\"]*+\"(?!\w)|{OPENS}\"[^\n]*"
    r"|`[^`\n]*+`|\[[^\[\]\n]*+\]|--[^\n]*|/\*(?:.*?\*/|.*\Z))",
    re.DOTALL,
)
"""Strings, quoted names and comments. A string may hold line ends; one that never closes ends with its line, an open
comment with the text. A doubled quote reads as two strings side by side, which hides the same characters."""
_GAP = r"(?:\s|--[^\n]*(?:\n|\Z)|/\*(?:[^*]|\*(?!/))*+\*/)"
_LEAD = re.compile(rf"(?:{_GAP}|\()*+")
_NAME = r"(?:\"[^\"\n]*\"|`[^`\n]*`|\[[^\]\n]*\]|'[^'\n]*'|[^\W\d]\w*)"
_COLUMNS = rf"\({_GAP}*+{_NAME}(?:{_GAP}*+,{_GAP}*+{_NAME})*{_GAP}*+\)"
READ = re.compile(
    rf"select\b(?!\s*[:.])(?!\s*,)|with\b{_GAP}*+(?:recursive\b{_GAP}*+)?{_NAME}{_GAP}*+(?:{_COLUMNS})?{_GAP}*+as\b"
    rf"{_GAP}*+(?:(?:not\b{_GAP}*+)?materialized\b{_GAP}*+)?\(|values\s*\(|"
    r"explain\s+(?:query\s+plan|analy[sz]e|verbose|extended|format|select|with|values|\()|table\s+[^\W\d]\w*\s*;?\s*\Z|"
    r"pragma\s+\w|show\s+(?:tables|columns|databases|schemas|create|index|indexes|full|all)\b|describe\s+\S+\s*(?:;|\Z)",
    re.IGNORECASE,
)
"""The beginnings of reading statements."""
_ENDED = r"\s*(?:;|\Z)"
WRITE = re.compile(
    r"(?:insert|replace)\s+(?:or\s+\w+\s+)?into\b|update\s+\S+\s+set\b|delete\s+from\b|merge\s+into\b|"
    r"(?:create|alter|drop)\s+(?:(?:or|replace|temp|temporary|unique|virtual|materialized|unlogged|external|recursive|local|"
    r"global)\s+){0,3}(?:table|view|index|trigger|database|schema|user|role|function|extension)\s+[\w\"'`\[]|"
    rf"truncate\s+(?:table\s+)?\S+{_ENDED}|attach\s+(?:database\s+)?(?:'|\"|\S+\s+as\b)|detach\s+(?:database\s+)?\w+{_ENDED}|"
    rf"(?:vacuum|reindex|analyze)(?:\s+\w+)?{_ENDED}|vacuum\s+into\b|savepoint\s+\w+{_ENDED}|"
    rf"(?:begin|commit|rollback|end)(?:\s+(?:transaction|work|immediate|deferred|exclusive))?{_ENDED}|rollback\s+to\b|"
    r"(?:grant|revoke)\s+\w[\w ,]{0,80}?\s(?:on|to|from)\b|copy\s+(?:\(|\S+\s+(?:to|from)\b)|"
    rf"(?:load|install)\s+(?:data\b|'|\w+{_ENDED})|set\s+(?:(?:session|global|local)\s+\w|@*\w+\s*(?:=|:=))|(?-i:SET\s+\w+\s+TO)\b|"
    rf"call\s+\w+\s*\(|do\s+\$|lock\s+tables?\b|exec(?:ute)?\s+\w+\s*(?:;|\Z|\(|@)",
    re.IGNORECASE,
)
"""The beginnings of other statements. They are SQL too, and the executor refuses them."""
_SKETCH = re.compile(
    r"\.\.\.|…|\{\w+\}|\bYOUR[ _][A-Z]+|\b(?i:your_(?:table|column|query)(?:_name)?)\b|"
    r"(?:^|[(,=]|\b(?i:select|distinct|from|join|where|by|and|or|on|in|like|limit|set))\s*<\w[\w ]{0,40}>"
)
"""Placeholders that the model left in a query."""
_STOPWORD = re.compile(r"(?<![.\w])(?:the|whose|please|you|your|we|this|that|these|let's|i'll)\b(?!\s*[.,=])", re.I)
_WORD = re.compile(r"[^\W\d][\w']*+")
PROSE_RUN = 3
"""So many words in a row that are not keywords of SQL make a sentence: in SQL at most a name and its alias stand
together."""


def begins(kind: re.Pattern[str], text: str) -> bool:
    """Whether a text, after comments and parentheses, begins as `kind` says and has no placeholder."""
    start = _LEAD.match(text)
    return kind.match(text, start.end() if start else 0) is not None and not _SKETCH.search(plain(text))


def starts(kind: re.Pattern[str], text: str, at: int, limit: int) -> bool:
    """Whether the part of a text from `at` to `limit`, after comments and parentheses, begins as `kind` says."""
    lead = _LEAD.match(text, at, limit)
    return kind.match(text, lead.end() if lead else at, limit) is not None


def plain(sql: str) -> str:
    """A query without the contents of its quotes and comments."""
    return QUOTED.sub("''", sql)


def masked(text: str) -> str:
    """A text of the same length and lines, with an `x` for each character in quotes and comments."""
    return QUOTED.sub(lambda quoted: re.sub(r"[^\n]", "x", quoted.group()), text)


def canonical_query(sql: str) -> str:
    """A query with white space outside quotes made single and closing semicolons removed."""
    parts: list[str] = []
    end = 0
    for quoted in QUOTED.finditer(sql):
        parts += [re.sub(r"\s+", " ", sql[end : quoted.start()]), quoted.group()]
        end = quoted.end()
    parts.append(re.sub(r"\s+", " ", sql[end:]))
    return "".join(parts).strip(" ;\n")


def same_query(left: str, right: str) -> bool:
    """Whether two queries are the same, apart from white space outside quotes and closing semicolons."""
    return canonical_query(left) == canonical_query(right)


def reads_as_prose(text: str) -> bool:
    """Whether a text that begins like SQL is a sentence: `Select all singers from the table.`"""
    words = plain(text)
    if words.rstrip().endswith((".", "!", "?", ":")) or _STOPWORD.search(words) is not None:
        return True
    return longest_run(words) >= PROSE_RUN


def is_sentence(text: str) -> bool:
    """Whether a text is certainly a sentence, even when it is presented as SQL."""
    words = plain(text)
    return _STOPWORD.search(words) is not None and longest_run(words) >= PROSE_RUN


def longest_run(words: str) -> int:
    """The largest number of words in a row, separated only by blanks, that are not keywords of SQL."""
    longest = run = 0
    end = -1
    for word in _WORD.finditer(words):
        if word.group().lower() in SQLITE or word.group().lower() in OTHER:
            run = 0
        else:
            run = run + 1 if end >= 0 and words[end : word.start()].isspace() else 1
        longest = max(longest, run)
        end = word.end()
    return longest
