"""Replace typographic characters in a query by plain ones, outside its strings, quoted names and comments.

Chat interfaces and models that write other languages use `’`, `（`, no-break spaces or `&gt;` where SQL knows only
ASCII. Inside quotes every character is data and stays.
"""

from __future__ import annotations

import html
import re

from sql_graph.sqltext import QUOTED

_OPEN_SINGLE, _CLOSE_SINGLE = "‘’‚‛′＇´", "’‘‛′＇´'"
_OPEN_DOUBLE, _CLOSE_DOUBLE = "“”„‟″＂", '”“‟″＂"'
SMART = re.compile(
    rf"[{_OPEN_SINGLE}](?P<single>[^\n{_CLOSE_SINGLE}]*+(?:(?<=\w)['’](?=\w)[^\n{_CLOSE_SINGLE}]*+)*+)[{_CLOSE_SINGLE}]"
    rf"|[{_OPEN_DOUBLE}](?P<double>[^\n{_CLOSE_DOUBLE}]*+)[{_CLOSE_DOUBLE}]"
)
"""Text between typographic quotes; an apostrophe inside a word does not end it."""
_BLANKS = (
    "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000\u2028\u2029\x85"
)
_NOTHING = (
    "\u200b\u200c\u200d\u2060\ufeff\u00ad\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufe0f\x00"
)
_MARKS = "!\"#$%&'()*+,-./:;<=>?@[\\]^`{|}~"
_PLAIN: dict[int, str] = {
    **{ord(blank): " " for blank in _BLANKS},
    **{ord(unseen): "" for unseen in _NOTHING},
    **{code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F) if chr(code - 0xFEE0) in _MARKS},
    ord("、"): ",", ord("。"): ";", ord("｡"): ";", ord("﹐"): ",", ord("﹔"): ";", ord("﹙"): "(", ord("﹚"): ")",
    ord("−"): "-", ord("–"): "-", ord("‐"): "-", ord("‑"): "-", ord("—"): "--", ord("≥"): ">=", ord("≤"): "<=",
    ord("≠"): "<>", ord("∗"): "*", ord("×"): "*", ord("‘"): "'", ord("’"): "'", ord("“"): '"', ord("”"): '"',
}  # fmt: skip
_WIDE_DIGITS = re.compile(r"(?<!\w)[０-９]+(?!\w)")
_ESCAPED_MARK = re.compile(r"\\([*_\[\]()<>#~|+.=`-])")
_ENTITY = re.compile(r"&(?:lt|gt|amp|quot|apos|nbsp|#39|#x27|#34|#60|#62);", re.IGNORECASE)
_ODD = re.compile(r"[^\x00-\x7f]|[\\&\x00]")


_EITHER = re.compile(f"{SMART.pattern}|(?:{QUOTED.pattern})", re.DOTALL)


def tidy(sql: str) -> str:
    """The same query with plain characters outside its quotes."""
    if not _ODD.search(sql):
        return sql
    sql = _without_escapes(sql)
    parts: list[str] = []
    end = 0
    for found in _EITHER.finditer(sql):
        parts += [_plain(sql[end : found.start()]), _requoted(found)]
        end = found.end()
    parts.append(_plain(sql[end:]))
    return "".join(parts).strip()


def _requoted(found: re.Match[str]) -> str:
    """A text in plain quotes, with its own apostrophes doubled; text that has plain quotes stays."""
    if found["single"] is not None:
        return "'" + found["single"].replace("’", "'").replace("'", "''") + "'"
    return found.group() if found["double"] is None else f'"{found["double"]}"'


def _plain(outside: str) -> str:
    """A piece of SQL outside quotes, in characters that a database reads."""
    text = outside.replace("\\n", "\n").replace("\\r", "").replace("\\t", " ")
    text = _WIDE_DIGITS.sub(
        lambda digits: str(int(digits.group())) if len(digits.group()) < 20 else digits.group(), text
    )
    return _ESCAPED_MARK.sub(r"\1", text).translate(_PLAIN)


def _without_escapes(sql: str) -> str:
    """A query without the escapes that HTML, or a string around it, put on the whole of it."""
    if _ENTITY.search(QUOTED.sub("''", sql)):
        sql = html.unescape(sql)
    for quote in "\"'":
        count = sql.count(quote)
        if count and count == sql.count(f"\\{quote}"):
            sql = sql.replace(f"\\{quote}", quote)
    return sql
