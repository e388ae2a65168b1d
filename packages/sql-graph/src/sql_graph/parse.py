"""From a model's reply to the query in it. Total functions: any text gives an answer, none raises.

What is found must begin like SQL; prose, placeholders and result tables are never returned. Where several queries
are offered the last one counts, as models correct themselves. Statements are not counted or judged here: two
statements stay together, so that the executor can refuse them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from sql_graph.sqltext import READ, WRITE, begins, continues, ends_sql, masked, plain, reads_as_prose

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A model's reply, read."""

    sql: str | None
    cut: bool
    """Whether the length limit ended it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Block:
    """A piece of a reply that may be a query."""

    body: str
    tag: str = ""
    closed: bool = True
    """Whether its end was marked, so that nothing can be missing."""


_THOUGHT_TAG = re.compile(r"<(/?)(?:think|thinking|thought|reasoning)\b[^<>]{0,40}>", re.IGNORECASE)
_FENCE = re.compile(r"`{3,}|~{3,}")
_SQL_TAG = re.compile(
    r"sql(?:ite3?)?|postgres(?:ql)?|p[gs]+ql|plpgsql|mysql|mariadb|duckdb|[tp]l?-?sql|mssql|oracle|bigquery|snowflake|query"
)
_TAGGED = re.compile(r"<(sql|query|answer|solution)>(.*?)(?:</\1>|$)", re.DOTALL | re.IGNORECASE)
_LABEL = re.compile(
    r"^[ \t>*_#-]*(?:(?:the\s+|final\s+|corrected\s+|rewritten\s+)*(?:sql\s*query|sqlquery|sql|query|answer))"
    r"[\s*_]*:[\s*_]*(?=\S)",
    re.IGNORECASE | re.MULTILINE,
)
_INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_LINE_START = re.compile(r"^[ \t]*(?=(?:SELECT|WITH)\b)", re.MULTILINE)
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_JSON_KEYS = ("sql", "query", "sql_query", "answer")


def extract_sql(reply: str) -> str | None:
    """The query in a reply, or None. Looks at fenced blocks, then JSON, tags, `SQL:` labels and bare SQL.

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
    if found is None or (cut and not found.closed and not plain(found.body).endswith(";")):
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


def without_thinking(reply: str) -> str:
    """A reply without its thoughts. The prompt may have opened a thought, and the limit may leave one open."""
    kept: list[str] = []
    at = 0
    thinking = False
    for tag in _THOUGHT_TAG.finditer(reply):
        if tag.group(1):
            if not thinking:
                kept.clear()
            thinking = False
        else:
            if not thinking:
                kept.append(reply[at : tag.start()])
            thinking = True
        at = tag.end()
    return "".join(kept) if thinking else "".join(kept) + reply[at:]


def _find(reply: str) -> _Block | None:
    text = without_thinking(reply.replace("\r\n", "\n").replace("\ufeff", "").replace("\u200b", ""))
    fenced = list(_fenced(text))
    if found := _last(READ, fenced):  # nearly every reply, so the rest is looked at only when it must be
        return found
    groups = (fenced, *_unfenced(text))
    return next((found for kind in (READ, WRITE) for group in groups if (found := _last(kind, group))), None)


def _last(kind: re.Pattern[str], group: list[_Block]) -> _Block | None:
    """The last block that begins as `kind` says; one tagged as SQL before any other, and no prose."""
    begun = [block for block in group if begins(kind, block.body)]
    tagged = [block for block in begun if _SQL_TAG.fullmatch(block.tag)]
    fitting = tagged or [block for block in begun if not reads_as_prose(block.body)]
    return fitting[-1] if fitting else None


def _fenced(text: str) -> Iterator[_Block]:
    """The fenced blocks of a text, a JSON block replaced by the query it holds."""
    at = 0
    while opening := _FENCE.search(text, at):
        mark = opening.group()
        # A name in backticks may end the query: of four backticks the last three close the fence.
        closing = re.compile(f"{re.escape(mark)}(?!{re.escape(mark[0])})").search(text, opening.end())
        end = closing.start() if closing else len(text)
        tag, body = _split_tag(text[opening.end() : end])
        at = closing.end() if closing else len(text)
        held = _json_query(body)
        yield _Block(tag="sql", body=held) if held else _Block(tag=tag, body=body, closed=bool(closing))


def _split_tag(inside: str) -> tuple[str, str]:
    """A block's language tag, lower case, and its body. `sql SELECT 1` and a lone ` sql` line both hold a tag."""
    first, _, rest = inside.partition("\n")
    word, _, after = first.strip().partition(" ")
    if _SQL_TAG.fullmatch(word.lower()):
        starts = begins(READ, after) or begins(WRITE, after) or not rest.strip()
        return word.lower(), (f"{after}\n{rest}" if starts else rest).strip()
    if word and not after and "\n" in inside and not continues(word):
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
    return next((fields[key].strip() for key in _JSON_KEYS if isinstance(fields.get(key), str)), None)


def _unfenced(text: str) -> Iterator[list[_Block]]:
    """What may be a query outside fences, strongest evidence first: JSON, tags, labels, bare, inline code, a line."""
    text = _FENCE.sub("\n", text).strip()
    held = _json_query(text)
    yield [_Block(body=held)] if held else []
    yield [_Block(body=tag.group(2).strip(), closed=tag.end(2) < tag.end()) for tag in _TAGGED.finditer(text)]
    yield [block for label in _LABEL.finditer(text) for block in _labelled(text[label.end() :])]
    yield list(_bare(text))
    codes = (code.group(1).strip() for code in _INLINE.finditer(text))
    yield [_Block(body=code) for code in codes if " " in code]
    line = _LINE_START.search(text)
    yield list(_bare(text[line.end() :])) if line else []


def _labelled(text: str) -> Iterator[_Block]:
    """Inline code or bare SQL right after a label."""
    code = _INLINE.match(text)
    return iter([_Block(body=code.group(1).strip())]) if code else _bare(text)


def _bare(text: str) -> Iterator[_Block]:
    """Bare SQL at the start of a text, without the prose after it."""
    hidden = masked(text)
    end = _end_of_statements(text, hidden)
    kept: list[str] = []
    blank = False
    for line, shown in zip(_LINE.findall(text[:end]), _LINE.findall(hidden[:end]), strict=True):
        if kept and shown.strip() and (ends_sql(shown) or (blank and not continues(shown))):
            break
        blank = not shown.strip()
        kept.append(line)
    body = "".join(kept)
    if body.strip():
        yield _Block(body=body.strip(), closed=len(body) < len(text))


def _end_of_statements(text: str, hidden: str) -> int:
    """Where the last of the statements at the start of a text ends: at a semicolon after which no SQL begins."""
    semicolon = hidden.find(";")
    while semicolon >= 0:
        following = hidden.find(";", semicolon + 1)
        statement = text[semicolon + 1 : following if following >= 0 else len(text)]
        if not begins(READ, statement) and not begins(WRITE, statement):
            return semicolon + 1
        semicolon = following
    return len(text)


def _part_text(part: Any) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, dict):
        fields = cast("dict[str, Any]", part)
        return str(fields.get("text", "")) if fields.get("type", "text") == "text" else ""
    return ""
