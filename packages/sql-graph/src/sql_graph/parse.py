"""From a model's reply to the query in it, and to its verdict. Total functions: any text gives an answer, none raises.

What is found must begin like SQL; prose, placeholders and result tables are never returned. Where several queries
are offered the last one counts, as models correct themselves. Statements are not counted or judged here: two
statements stay together, so that the executor can refuse them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A model's reply, read."""

    sql: str | None
    cut: bool
    """Whether the length limit ended it."""


@dataclass(frozen=True, slots=True)
class _Block:
    tag: str
    body: str
    closed: bool


_THOUGHT_TAG = re.compile(r"<(/?)(?:think|thinking|thought|reasoning)\b[^<>]{0,40}>", re.IGNORECASE)

_FENCE = re.compile(r"`{3,}|~{3,}")
_SQL_TAG = re.compile(
    r"sql(?:ite3?)?|postgres(?:ql)?|p[gs]+ql|plpgsql|mysql|mariadb|duckdb|[tp]l?-?sql|mssql|oracle|bigquery|snowflake|query"
)
_READ = re.compile(
    r"select\b(?!\s*[:,.])|with\s+(?:recursive\s+)?[\w\"`\[\]]+\s*(?:\([^()]*\)\s*)?as\b|values\s*\(|explain\s+\w|"
    r"table\s+\w+\s*;?\s*$|pragma\s+\w|show\s+\w|describe\s+\w",
    re.IGNORECASE,
)
_WRITE = re.compile(
    r"(?:insert|replace)\s+(?:or\s+\w+\s+)?into\b|update\s+\S+\s+set\b|delete\s+from\b|merge\s+into\b|"
    r"(?:create|alter|drop)\s+(?:\w+\s+)*(?:table|view|index|trigger|database|schema|user|role|function|extension)\b|"
    r"truncate\s+\w|attach\s+\S|detach\s+\S|vacuum\b|reindex\b|analyze\b|begin\b|commit\b|rollback\b|savepoint\s|"
    r"(?:grant|revoke)\s+\w|copy\s+\S|load\s+\S|install\s+\S|set\s+\w|call\s+\w|do\s+\$|lock\s+\w|exec(?:ute)?\s+\w",
    re.IGNORECASE,
)
_LEAD = re.compile(r"(?:\s+|--[^\n]*(?:\n|$)|/\*.*?(?:\*/|\Z)|\()*", re.DOTALL)
_QUOTED = re.compile(
    r"'(?:[^'\n]|'')*(?:'|$)|\"(?:[^\"\n]|\"\")*(?:\"|$)|--[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL | re.MULTILINE
)
_SKETCH = re.compile(r"\.\.\.|…|<\w+>|\{\w+\}|\bYOUR[ _]\w+", re.IGNORECASE)
_TAGGED = re.compile(r"<(sql|query|answer|solution)>(.*?)(?:</\1>|$)", re.DOTALL | re.IGNORECASE)
_LABEL = re.compile(
    r"^[ \t>*_#-]*(?:(?:the\s+|final\s+|corrected\s+|rewritten\s+)*(?:sql\s*query|sqlquery|sql|query|answer))"
    r"[\s*_]*:[\s*_]*(?=\S)",
    re.IGNORECASE | re.MULTILINE,
)
_INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_LINE_START = re.compile(r"^[ \t]*(?=(?:SELECT|WITH)\b)", re.MULTILINE)
_PROSE = re.compile(r"\b(?:the|whose|please|you|your|we|this|that|these|let's|i'll)\b", re.IGNORECASE)
_PROSE_LINE = re.compile(r"\s*(?:[-*#>]+\s+)?(?:\*\*\w|[A-Z][a-z']+\b|I\b)")
_CONTINUES = re.compile(
    r"\s*(?:[(),]|--|/\*|(?:select|from|where|join|left|right|inner|outer|full|cross|natural|on|using|and|or|not|group|order|"
    r"having|limit|offset|fetch|union|intersect|except|with|values|window|case|when|then|else|end|as|distinct)\b)",
    re.IGNORECASE,
)


def extract_sql(reply: str) -> str | None:
    """The query in a reply, or None. Looks at fenced blocks, JSON, tags, `SQL:` labels, then bare SQL.

    Thinking (`<think>…</think>`, closed or not) is not part of the reply. Among fenced blocks the last that begins
    like a query wins; one that begins like a write is taken only when there is no query, for the executor to refuse.
    """
    found = _find(reply)
    return None if found is None else found.body


def read_reply(message: BaseMessage) -> Reply:
    """The query in a message of a chat model, and whether the length limit cut it.

    A query that the limit cut before its end is not returned: what is left of it may run and mean something else. It
    counts as ended when its fence is closed or a semicolon ends it.
    """
    cut = was_cut(message)
    found = _find(message_text(message))
    if found is None or (cut and not found.closed and not found.body.endswith(";")):
        return Reply(sql=None, cut=cut)
    return Reply(sql=found.body, cut=cut)


def message_text(message: BaseMessage) -> str:
    """All text of a message; content may be a string or a list of parts."""
    content = cast("str | list[Any]", message.content)  # pyright: ignore[reportUnknownMemberType]  untyped in langchain
    if isinstance(content, str):
        return content
    return "".join(_part_text(part) for part in content)


def was_cut(message: BaseMessage) -> bool:
    """Whether the server says that the length limit ended the reply."""
    metadata = cast("dict[str, Any]", message.response_metadata)
    return metadata.get("finish_reason") in ("length", "max_tokens") or metadata.get("done_reason") == "length"


class CheckVerdict(StrEnum):
    """What a checker says of a query."""

    CORRECT = "correct"
    INCORRECT = "incorrect"


_VERDICT = re.compile(
    r"^[\s>*_#`-]*(?:(?:final\s+)?verdict[\s*_`]*[:=-][\s*_`\[(]*|the\s+query\s+is\s+[*_`]*)?(correct|incorrect)"
    r"[\s*_`.!\])]*$",
    re.IGNORECASE,
)


def parse_verdict(reply: str) -> CheckVerdict | None:
    """The verdict in a checker's reply: the last line that is nothing but a verdict; None when there is no such line.

    Such a line reads `VERDICT: CORRECT`, `The query is incorrect.` or `CORRECT`, with any markdown around it. The
    same words inside a sentence are prose and count for nothing.
    """
    for line in reversed(_without_thinking(reply).splitlines()):
        if match := _VERDICT.match(line):
            return CheckVerdict(match.group(1).lower())
    return None


def checker_remarks(reply: str) -> str:
    """What a checker says besides its verdict."""
    lines = _without_thinking(reply).splitlines()
    return "\n".join(line for line in lines if not _VERDICT.match(line)).strip()


def same_query(left: str, right: str) -> bool:
    """Whether two queries are the same but for white space outside quotes and closing semicolons."""
    return canonical_query(left) == canonical_query(right)


def canonical_query(sql: str) -> str:
    """A query with white space outside quotes made single and closing semicolons removed."""
    parts: list[str] = []
    end = 0
    for quoted in _QUOTED.finditer(sql):
        parts += [re.sub(r"\s+", " ", sql[end : quoted.start()]), quoted.group().replace("\r\n", "\n")]
        end = quoted.end()
    parts.append(re.sub(r"\s+", " ", sql[end:]))
    return "".join(parts).strip(" ;\n")


def _find(reply: str) -> _Block | None:
    text = _without_thinking(reply.replace("\r\n", "\n").replace("\ufeff", "").replace("\u200b", ""))
    groups = (list(_fenced(text)), *_unfenced(text))
    for kind in (_READ, _WRITE):
        for group in groups:
            fitting = [block for block in group if _begins(kind, block.body)]
            tagged = [block for block in fitting if _SQL_TAG.fullmatch(block.tag)]
            if fitting:
                return (tagged or fitting)[-1]
    return None


def _without_thinking(text: str) -> str:
    """A reply without its thoughts. The prompt may have opened a thought, and the limit may leave one open."""
    kept: list[str] = []
    at = depth = 0
    for tag in _THOUGHT_TAG.finditer(text):
        if tag.group(1):
            if not depth:
                kept.clear()
            depth = 0
        else:
            if not depth:
                kept.append(text[at : tag.start()])
            depth = 1
        at = tag.end()
    return "".join(kept) if depth else "".join(kept) + text[at:]


def _begins(kind: re.Pattern[str], body: str) -> bool:
    start = _LEAD.match(body)
    at = start.end() if start else 0
    return kind.match(body, at) is not None and not _SKETCH.search(_QUOTED.sub("''", body))


def _fenced(text: str) -> Iterator[_Block]:
    """The fenced blocks of a text, a JSON block replaced by the query it holds."""
    at = 0
    while opening := _FENCE.search(text, at):
        closing = re.compile(re.escape(opening.group())).search(text, opening.end())
        end = closing.start() if closing else len(text)
        tag, body = _split_tag(text[opening.end() : end])
        at = closing.end() if closing else len(text)
        held = _json_query(body)
        yield _Block(tag="sql", body=held, closed=True) if held else _Block(tag=tag, body=body, closed=bool(closing))


def _split_tag(inside: str) -> tuple[str, str]:
    """A block's language tag, lower case, and its body. `sql SELECT 1` and a lone ` sql` line both hold a tag."""
    first, _, rest = inside.partition("\n")
    word, _, after = first.strip().partition(" ")
    if _SQL_TAG.fullmatch(word.lower()) and not after.lstrip().startswith("("):
        return word.lower(), f"{after}\n{rest}".strip()
    if word and not after and "\n" in inside and not _CONTINUES.match(word):
        return word.lower(), rest.strip()
    return "", inside.strip()


def _json_query(text: str) -> str | None:
    """The query in a JSON object, under the keys that models use."""
    if not text.startswith("{"):
        return None
    try:
        value: Any = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    fields = {str(key).lower(): item for key, item in cast("dict[Any, Any]", value).items()}
    for key in ("sql", "query", "sql_query", "answer"):
        if isinstance(fields.get(key), str):
            return str(fields[key]).strip()
    return None


def _unfenced(text: str) -> Iterator[list[_Block]]:
    """What may be a query outside fences, strongest evidence first: JSON, tags, labels, bare, inline code, a line."""
    text = _FENCE.sub("\n", text).strip()
    held = _json_query(text)
    yield [_Block(tag="sql", body=held, closed=True)] if held else []
    yield [
        _Block(tag="sql", body=tag.group(2).strip(), closed=tag.end(2) < tag.end()) for tag in _TAGGED.finditer(text)
    ]
    yield [block for label in _LABEL.finditer(text) for block in _bare(text[label.end() :].strip("` \n"))]
    yield list(_bare(text))
    codes = (code.group(1).strip() for code in _INLINE.finditer(text))
    yield [_Block(tag="", body=code, closed=True) for code in codes if " " in code]
    line = _LINE_START.search(text)
    yield list(_bare(text[line.end() :])) if line else []


def _bare(text: str) -> Iterator[_Block]:
    """Bare SQL at the start of a text, without the prose after it; nothing when it reads like prose itself."""
    masked = _QUOTED.sub(lambda quoted: re.sub(r"[^\n]", "x", quoted.group()), text)
    end = len(text)
    semicolon = masked.find(";")
    while semicolon >= 0:
        rest = masked[semicolon + 1 :]
        if not rest.strip() or not (_begins(_READ, rest) or _begins(_WRITE, rest)):
            end = semicolon + 1
            break
        semicolon = masked.find(";", semicolon + 1)
    kept: list[str] = []
    lines = text[:end].splitlines(keepends=True)
    masked_lines = masked[:end].splitlines(keepends=True)
    blank = False
    for line, shown in zip(lines, masked_lines, strict=True):
        if kept and shown.strip() and (_is_prose(shown) or (blank and not _CONTINUES.match(shown))):
            break
        blank = not shown.strip()
        kept.append(line)
    body = "".join(kept).strip()
    plain = _QUOTED.sub("''", body)
    if body and not plain.rstrip().endswith((".", "!", "?", ":")) and not _PROSE.search(plain):
        yield _Block(tag="", body=body, closed=len("".join(kept)) < len(text))


def _is_prose(line: str) -> bool:
    """Whether a line is a sentence: a capitalised word first, a stop last, and not a clause of SQL."""
    stopped = line.rstrip("* \n").endswith((".", ":", "!"))
    return stopped and _PROSE_LINE.match(line) is not None and not _CONTINUES.match(line)


def _part_text(part: Any) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, dict):
        fields = cast("dict[str, Any]", part)
        return str(fields.get("text", "")) if fields.get("type", "text") == "text" else ""
    return ""
