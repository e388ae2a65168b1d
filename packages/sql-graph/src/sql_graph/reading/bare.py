"""Find the end of a query without a fence: tell the lines that continue it from the words after it.

A query is read line by line. It continues inside its strings, comments and parentheses, after an operator, a comma or a
word that needs more, and before a line that begins with a clause, also across blank lines. A sentence, a label, a list
item or a second query ends it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sql_graph.keywords import CLAUSES, DANGLING, OTHER, SQLITE
from sql_graph.sqltext import QUOTED, READ, WRITE, begins, longest_run, starts

_TOKEN = re.compile(
    rf"(?P<quoted>{QUOTED.pattern})|(?P<line>\n)|(?P<blank>[^\S\n]+)|(?P<word>\w+)|(?P<mark>.)", re.DOTALL
)
_STOPWORD = re.compile(
    r"(?<![.\w])(?:(?i:the|whose|please|you|your|we|this|these|let's|here|i'll)|I|It|Note|Let)\b(?!\s*[.,=])"
)
_ENTITY = re.compile(r"&(?:[a-z]{2,6}|#x?[0-9a-f]{2,4});\Z", re.IGNORECASE)
_LABEL = re.compile(r"[ \t>*_#-]*[^\W\d][\w ()]{0,30}[*_]*[:：](?![:=])")
_ITEM = re.compile(r"[ \t]*(?:[-*•>+]|\d+[.)])[ \t]+")
_MARKUP = re.compile(
    r"[ \t]*(?:#{1,6}[ \t]|\*\*\w|</|\[/|```|~~~|'''|\"\"\"|---+\s*$|\(?[A-Z][a-z]+ \w+ \w+)", re.MULTILINE
)
_WIDE = re.compile(r"[ \t]*[\u2e80-\uffef]")
_FIRST = re.compile(r"[ \t]*(\w+)")
_STAR = re.compile(r"(?:\b(?:select|distinct|all)\s*|[.,(]\s*)\*\Z", re.IGNORECASE)
_WORDS = re.compile(r"[^\W\d]\w*")
LINE_CHARS = 400
"""At most this much of a line is examined to recognise prose."""


@dataclass(slots=True)
class _Reader:
    """The state of a query that is being read."""

    depth: int = 0
    """Number of open parentheses."""
    dangling: bool = False
    """Whether the last word or mark needs something after it."""
    after_paren: bool = False
    heading: bool = False
    """Whether a WITH clause still waits for its main statement."""
    begun: bool = False
    last: str = ""

    def take(self, token: re.Match[str]) -> None:
        """Read one token that is neither blank nor a comment."""
        text = token.group()
        kind = token.lastgroup
        word = text.lower() if kind == "word" else ""
        if not self.begun and word:
            self.heading, self.begun = word in ("with", "explain"), True
        elif self.depth == 0 and word in ("select", "values", "insert", "update", "delete"):
            self.heading = False
        if kind == "mark":
            self.depth = max(self.depth + (text == "(") - (text == ")"), 0)
        before = self.last
        self.dangling = word in DANGLING or (kind == "mark" and _needs_more(text, before))
        self.after_paren = text == ")"
        self.last = word or ("x" if kind == "quoted" else text)


def end_of_query(text: str, start: int, limit: int | None = None) -> int:
    """Where the query that begins at `start` ends, at most at `limit`. The time is linear in the text read."""
    limit = len(text) if limit is None else limit
    reader = _Reader()
    end = start
    blank = False
    at = start
    for token in _TOKEN.finditer(text, start, limit):
        at = token.start()
        kind = token.lastgroup
        if kind == "line":
            following = text[at + 1 : min(limit, at + 1 + LINE_CHARS)].partition("\n")[0]
            if not following.strip():
                blank = True
            elif not _goes_on(following, reader, blank=blank):
                return end
            else:
                blank = False
        elif kind == "mark" and token.group() in ";；" and not _ENTITY.search(text, max(0, at - 8), at + 1):
            end = token.end()
            if not starts(READ, text, end, limit) and not starts(WRITE, text, end, limit):
                return end
            reader = _Reader()
        elif kind == "mark" and _ends_inline(text, at, reader):
            return end
        elif kind != "blank":
            end = token.end()
            if not token.group().startswith(("--", "/*")):
                reader.take(token)
    return end


def is_whole(sql: str) -> bool:
    """Whether nothing seems to be missing from a query: parentheses and quotes are closed, and the last word needs
    nothing after it."""
    reader = _Reader()
    for token in _TOKEN.finditer(sql):
        text = token.group()
        if token.lastgroup in ("blank", "line") or text.startswith(("--", "/*")) or text == ";":
            continue
        if token.lastgroup == "quoted" and (len(text) == 1 or text[-1] not in "'\"`]"):
            return False
        reader.take(token)
    return reader.begun and reader.depth == 0 and not reader.dangling and not reader.heading


def _needs_more(mark: str, before: str) -> bool:
    """Whether a mark needs something after it; the star of `SELECT *` and `count(*` does not."""
    if mark == "*":
        return before not in ("select", "distinct", "all", ".", ",", "(")
    return mark in ",(.=<>+-/|%&~!"


def _ends_inline(text: str, at: int, reader: _Reader) -> bool:
    """Whether a mark inside a line ends the query: the closing tag or code mark around it, or a full stop in words."""
    mark = text[at]
    if mark == "<":
        return text[at : at + 2] == "</" and text[at + 2 : at + 3].isalpha()
    if mark in "`}":
        return reader.depth == 0
    if mark in ".。":
        return reader.depth == 0 and not reader.dangling and text[at + 1 : at + 2] in ("", " ", "\n") and mark == "."
    return False


def _goes_on(line: str, reader: _Reader, *, blank: bool) -> bool:
    """Whether a line belongs to the query before it."""
    if not reader.begun:
        return True
    if _never_sql(line):
        return False
    open_ended = reader.dangling or reader.depth > 0
    first = _FIRST.match(line)
    word = first.group(1).lower() if first else ""
    if open_ended:
        return not _is_prose(line)
    if word in ("select", "values", "with") and begins(READ, line):
        return reader.heading or reader.last in DANGLING
    if _ITEM.match(line):
        return _operator(line)
    if first is None:
        return line.lstrip()[:1] not in "#\\$@" and not (blank and line.lstrip()[:1] in "'\"`[") and not _remark(line)
    if word in CLAUSES:
        return not _is_prose(line)
    if blank or word[0].isdigit() or _WIDE.match(line):
        return False
    if reader.after_paren and len(_WORDS.findall(line)) == 1:
        return True  # the alias of a subquery, on a line of its own
    return (word in SQLITE or word in OTHER) and not _is_prose(line)


def _never_sql(line: str) -> bool:
    """Whether a line is a label, a heading, a closing tag or a fence."""
    return _LABEL.match(line) is not None or (_MARKUP.match(line) is not None and not line.lstrip().startswith("("))


def _remark(line: str) -> bool:
    """Whether a line in parentheses is prose: `(This counts all singers.)`"""
    return line.lstrip().startswith("(") and _is_prose(line)


def _operator(line: str) -> bool:
    """Whether a line that begins with `-`, `*`, `>` or `+` continues an expression and is not a list item."""
    words = _WORDS.findall(line)
    if line.lstrip()[:1].isdigit() or "•" in line[:4]:
        return False
    return not _is_prose(line) and (
        len(words) < 2
        or words[1].lower() in CLAUSES
        or not line.split(maxsplit=1)[1].startswith(f"{words[0]} {words[1]}")
    )


def _is_prose(line: str) -> bool:
    """Whether a line is a sentence rather than a part of a query."""
    plain = QUOTED.sub("''", line)
    if _STOPWORD.search(plain) is not None or longest_run(plain) >= 3:
        return True
    return plain.rstrip("* )").endswith((".", "!", "?", ":")) and longest_run(plain) >= 2
