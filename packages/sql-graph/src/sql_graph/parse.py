"""Find the query in a model's reply. The functions are total: they return an answer for any text and never raise.

A query must begin like SQL; prose, placeholders and result tables are never returned. When a reply holds several
queries, the last complete one that is not a draft counts, because models correct themselves. This module does not count
or judge statements: two statements stay together, so that the executor can refuse them. REPLIES.md lists the forms of
replies.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from sql_graph.reading.bare import end_of_query, is_whole
from sql_graph.reading.thoughts import is_quoted, turns, without_thinking
from sql_graph.reading.typography import tidy
from sql_graph.reading.wrappers import json_queries, literal_queries, looks_like_query, loose_queries, tagged_queries
from sql_graph.sqltext import QUOTED, READ, WRITE, begins, is_sentence, masked, plain, reads_as_prose

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage

MAX_KEPT_REPLY = 2_000
"""Characters kept of a reply that holds no query."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What was read from a model's reply."""

    sql: str | None
    cut: bool
    """Whether the length limit ended it."""
    words: str = ""
    """The model's words when there is no query: the answer's text, or the reasoning when there is no other text."""
    only_reasoning: bool = False
    """Whether the model gave reasoning and no answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Block:
    """A piece of a reply that may be a query."""

    body: str
    tag: str = ""
    closed: bool = True
    """Whether its end is marked, so that it is complete."""


_FENCE = re.compile(r"`{3,}|~{3,}|(?:(?<=\n)|\A)[ \t]*(?:'''|\"\"\")(?=[a-zA-Z]*[ \t]*\n)")
_SQL_TAG = re.compile(
    r"sql(?:ite3?)?|postgres(?:ql)?|p[gs]+ql|plpgsql|mysql|mariadb|duckdb|[tp]l?-?sql|mssql|oracle|bigquery|snowflake|"
    r"spark-?sql|ansi-?sql|query"
)
_DRAFT = re.compile(
    r"(?<![`~])(`{3,}+|~{3,}+)[ \t]*+(?:think(?:ing)?|thoughts?|reason(?:ing)?|analysis|scratchpad|drafts?|"
    r"plan)[ \t]*\n.*?(?:\1|\Z)",
    re.IGNORECASE | re.DOTALL,
)
_UNSEEN = re.compile(r"(?:\A|(?<=[\n`~:>]))[\u200b\u200c\u200d\u2060\ufeff\u00ad]+")
_KEYWORD = re.compile(
    r"(?<![\w.@])(?:select|with|values|explain|insert|replace|update|delete|create|alter|drop|merge)\b", re.IGNORECASE
)
_NEW_LINE = re.compile(
    r"[ \t]*(?:(?:[-*•>+]|#{1,6}|\d{1,2}[.)]|\(?[a-z\d]\)|sqlite>|mysql>|duckdb>|\w+=[#>])[ \t]+)*+"
    r"[*_\s]*[`\"'“‘(]*[\s(]*",
    re.IGNORECASE,
)
_COLON = re.compile(r"(?:[:：=]|->|→|=>)[ \t]*[*_]*[ \t]*(?:[|>][+-]?)?[ \t]*[`\"'“‘]{0,2}[\s(]*\Z")
_LABEL = re.compile(
    r"(?:\b(?:sql|query|sqlquery|statement|answer|output|solution|action[ _]input|final|corrected|rewritten|revised|"
    r"fixed)\b"
    r"|语句|查询|答案|回答|クエリ|쿼리|запрос|ответ|requête|consulta|abfrage|respuesta)[^:：\n]{0,30}[:：]",
    re.IGNORECASE,
)
_HEADING = re.compile(
    r"[\s>*_#\d.)-]*(?:(?:the|my|final|corrected|rewritten|revised|fixed|improved)\s+)*"
    r"(?:sql(?:ite)?(?:[ _]*(?:query|code|statement))?|query|answer|solution|sql语句|查询|答案)[\s*_]*[:：]?[\s*_]*",
    re.IGNORECASE,
)
_NO_ANSWER = re.compile(
    r"(?:thoughts?|thinking|reasoning|drafts?|plan|observation|result|sqlresult|wrong|incorrect|bad|instead of|example)"
    r"\b[^:：\n]{0,30}[:：]",
    re.IGNORECASE,
)
"""Labels of text that is not the answer."""
_KEY = re.compile(r"[\"']\s*:\s*[\"']\Z")
_BEFORE = re.compile(r"(?:\s|\(|--[^\n]*\n|/\*(?:[^*]|\*(?!/))*+\*/|[>*`])*+")
_INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_CLOSINGS = {"`": "`", '"': '"', "'": "'", "“": "”", "‘": "’", "*": "**"}
PREFIX_CHARS = 200


def extract_sql(reply: str) -> str | None:
    """The query in a reply, or None. Looks at fenced blocks, then JSON, tags, labels, bare SQL and program text.

    Thoughts (`<think>…</think>` and their kind, closed or not), tokens of chat templates and turns of other speakers
    are not part of the reply. Among fenced blocks the last complete query wins, one that is tagged as SQL before any
    other; a query that begins like a write is taken only when there is no other, so that the executor refuses it.
    Typographic characters outside its quotes become plain.
    """
    found = _find(reply, cut=False)
    return None if found is None else found.body


def read_reply(message: BaseMessage) -> Reply:
    """The query in a message of a chat model, whether the length limit cut it, and its words where there is no query.

    A query that the limit cut before its end is not returned: what is left of it may run and mean something else. It
    counts as ended when its fence is closed or a semicolon ends it.
    """
    cut = was_cut(message)
    text = message_text(message)
    found = _find(text, cut=cut)
    if found is not None and not (cut and not found.closed and not plain(found.body).endswith(";")):
        return Reply(sql=found.body, cut=cut)
    answered = bool(without_thinking(text).strip())
    words = text.strip() or reasoning_text(message).strip()
    if len(words) > MAX_KEPT_REPLY:
        words = f"{words[:MAX_KEPT_REPLY]}…"
    return Reply(sql=None, cut=cut, words=words, only_reasoning=bool(words) and not answered)


def message_text(message: BaseMessage) -> str:
    """All text of a message; content may be a string or a list of parts."""
    content = cast("str | list[Any]", message.content)  # pyright: ignore[reportUnknownMemberType]  untyped in langchain
    if isinstance(content, str):
        return content
    return "".join(_part_text(part) for part in content)


def reasoning_text(message: BaseMessage) -> str:
    """The reasoning that a server returns beside the answer; empty when there is none."""
    fields = cast("dict[str, Any]", message.additional_kwargs)
    said = next((fields[key] for key in ("reasoning_content", "reasoning") if isinstance(fields.get(key), str)), "")
    content = cast("str | list[Any]", message.content)  # pyright: ignore[reportUnknownMemberType]  untyped in langchain
    if said or isinstance(content, str):
        return said
    return "\n".join(_thought_of(part) for part in content if isinstance(part, dict))  # pyright: ignore[reportUnknownArgumentType]  as above


def was_cut(message: BaseMessage) -> bool:
    """Whether the server says that the length limit ended the reply."""
    metadata = cast("dict[str, Any]", message.response_metadata)
    return metadata.get("finish_reason") in ("length", "max_tokens") or metadata.get("done_reason") == "length"


def plain_reply(reply: str) -> Iterator[str]:
    """The assistant's turns in a reply, without thoughts and without tokens of chat templates."""
    text = reply.replace("\r\n", "\n").replace("\r", "\n")
    return turns(without_thinking(_UNSEEN.sub("", text)))


def _find(reply: str, *, cut: bool) -> _Block | None:
    return next((found for turn in plain_reply(reply) if (found := _find_in_turn(turn, cut=cut))), None)


def _find_in_turn(text: str, *, cut: bool) -> _Block | None:
    text = _DRAFT.sub("\n", text)
    fenced = list(_fenced(text))
    if found := _last(READ, fenced, cut=cut):  # true for nearly every reply, so the rest runs only when it is needed
        return found
    groups = (fenced, *_unfenced(text))
    return next((found for kind in (READ, WRITE) for group in groups if (found := _last(kind, group, cut=cut))), None)


def _last(kind: re.Pattern[str], group: list[_Block], *, cut: bool) -> _Block | None:
    """The last complete block that begins as `kind` says, else the last; one tagged as SQL first, and no prose.

    Of a reply that was cut, the last block counts, complete or not, because the model abandoned the earlier ones.
    """
    begun = [block for block in group if begins(kind, block.body)]
    tagged = [block for block in begun if _SQL_TAG.fullmatch(block.tag) and not is_sentence(block.body)]
    fitting = tagged or [block for block in begun if not reads_as_prose(block.body)]
    if not fitting:
        return None
    if len(fitting) == 1:
        return fitting[0]
    whole = () if cut else (block for block in reversed(fitting) if is_whole(block.body))
    return next(iter(whole), fitting[-1])


def _fenced(text: str) -> Iterator[_Block]:
    """The contents of the fenced blocks of a text: a query, or JSON, program text or labels around one."""
    at = 0
    while opening := _FENCE.search(text, at):
        if is_quoted(text, opening):
            at = opening.end()
            continue
        mark = opening.group().strip()
        stop, at, closed = _closing_fence(text, opening.end(), mark)
        tag, body = _split_tag(_without_quote_marks(text, opening.start(), text[opening.end() : stop]))
        body = tidy(body)
        if looks_like_query(body):
            yield _Block(tag=tag, body=_statements(body), closed=closed)
        else:
            held = [*json_queries(body)] or [*loose_queries(body)]
            if held:
                yield _Block(tag="sql", body=tidy(held[-1]))
            else:
                yield from (_Block(body=tidy(query)) for query in literal_queries(body))
                yield from (block for _, block in _bare(body))


def _closing_fence(text: str, start: int, mark: str) -> tuple[int, int, bool]:
    """Where a block ends, where the text goes on, and whether a fence closes it. A fence inside quotes is data."""
    # A name in backticks may end the query: of four backticks the last three close the fence.
    closing = re.compile(f"{re.escape(mark)}(?!{re.escape(mark[0])})")
    for found in closing.finditer(text, start):
        line = text.rfind("\n", max(start, found.start() - 400), found.start()) + 1 or max(start, found.start() - 400)
        quotes = QUOTED.finditer(text, line, min(len(text), found.end() + 400))
        if not any(
            quote.start() < found.start() and found.end() < quote.end() and quote.group()[0] in "'\""
            and quote.group()[-1] == quote.group()[0] for quote in quotes
        ):  # fmt: skip
            return found.start(), found.end(), True
    return len(text), len(text), False


def _without_quote_marks(text: str, opening: int, inside: str) -> str:
    """A block inside a markdown quotation, without the `>` that begins each of its lines."""
    before = text[max(0, opening - 20) : opening].rpartition("\n")[2]
    return re.sub(r"(?m)^[ \t]*>[ \t]?", "", inside) if before.strip() == ">" else inside


def _split_tag(inside: str) -> tuple[str, str]:
    """A block's language tag, lower case, and its body. `sql SELECT 1` and a lone ` sql` line both hold a tag."""
    first, _, rest = inside.partition("\n")
    word, _, after = first.strip("\u200b\u2060\ufeff \t").partition(" ")
    tag = word.lower().strip("{}.:")
    if _SQL_TAG.fullmatch(tag):
        starts = looks_like_query(after) or not rest.strip()
        return tag, (f"{after}\n{rest}" if starts else rest).strip()
    if word and not after and "\n" in inside and not looks_like_query(inside) and re.fullmatch(r"[\w+.#{}-]+", word):
        return tag, rest.strip()
    return "", inside.strip()


def _statements(body: str) -> str:
    """The statements at the start of a block, without text after the last semicolon that is not SQL."""
    for semicolon in re.finditer(";", masked(body)):
        end = semicolon.end()
        following = body[end : end + PREFIX_CHARS].lstrip(" \n\t;")
        if not looks_like_query(following):
            return body if not following or following.startswith(("--", "/*")) else body[:end]
    return body


def _unfenced(text: str) -> Iterator[list[_Block]]:
    """What may be a query outside fences, strongest evidence first."""
    text = _FENCE.sub(lambda fence: fence.group() if is_quoted(text, fence) else "\n", text).strip()
    yield [_Block(body=tidy(query)) for query in ([*json_queries(text)] or [*loose_queries(text)])]
    yield [_Block(body=tidy(query), closed=closed) for query, closed in tagged_queries(text)]
    bare = list(_bare(text))
    yield [block for labelled, block in bare if labelled]
    yield [block for labelled, block in bare if not labelled]
    codes = (code.group(1).strip() for code in _INLINE.finditer(text))
    yield [_Block(body=tidy(code)) for code in codes if " " in code]
    yield [_Block(body=tidy(query)) for query in literal_queries(text)]


def _bare(text: str) -> Iterator[tuple[bool, _Block]]:
    """The queries that stand at the start of a line or after a colon, in order, with whether a label names them."""
    length = len(text.rstrip())
    at = 0
    first = _KEYWORD.search(text)
    if looks_like_query(text[:PREFIX_CHARS]) and (first is None or not _BEFORE.fullmatch(text, 0, first.start())):
        at = end_of_query(text, 0)  # a statement such as PRAGMA, which does not begin a query inside prose
        yield False, _Block(body=tidy(text[:at].strip()), closed=at < length)
    for keyword in _KEYWORD.finditer(text):
        begin = keyword.start()
        if begin < at:
            continue
        line = text[max(0, begin - PREFIX_CHARS) : begin].rpartition("\n")[2]
        if not (_NEW_LINE.fullmatch(line) or _COLON.search(line)) or _NO_ANSWER.search(line):
            continue
        labelled = _LABEL.search(line) is not None or _labelled_above(text, begin - len(line))
        written = WRITE.match(text, begin) and (
            labelled or (begin < 10 * PREFIX_CHARS and _BEFORE.fullmatch(text, 0, begin))
        )
        if READ.match(text, begin) or written:
            start, limit = _with_lead(text, begin), _limit(text, begin, line)
            if limit is None and _KEY.search(line):
                continue  # the unfinished value of a JSON key is not a complete query
            at = end_of_query(text, start, limit)
            yield labelled, _Block(body=tidy(text[start:at].strip()), closed=at < length)


def _labelled_above(text: str, line_start: int) -> bool:
    """Whether the line above is a heading or label such as `**SQL**` or `Final query:`."""
    above = text[max(0, line_start - PREFIX_CHARS) : line_start].rstrip().rpartition("\n")[2]
    return _HEADING.fullmatch(above) is not None


def _limit(text: str, begin: int, line: str) -> int | None:
    """Where the quote or code mark directly before a query is closed; None without such a mark."""
    mark = _CLOSINGS.get(line[-1:]) if not line.endswith(" ") else None
    if mark is None or (mark == "**" and not line.endswith("**")):
        return None
    last = min(len(text), begin + 10 * PREFIX_CHARS)
    closing = re.compile(rf"{re.escape(mark)}(?=\s*(?:[\n,;.)\]}}*]|\Z))").search(text, begin, last)
    if closing is None and mark == "`":
        closing = re.compile("`").search(text, begin, last)
    return closing.start() if closing else None


def _with_lead(text: str, begin: int) -> int:
    """Where a query begins with the comments and parentheses before it."""
    while begin:
        at = len(text[max(0, begin - PREFIX_CHARS) : begin].rstrip()) + max(0, begin - PREFIX_CHARS)
        line = max(text.rfind("\n", max(0, at - PREFIX_CHARS), at) + 1, at - PREFIX_CHARS, 0)
        if text[at - 1 : at] == "(":
            begin = at - 1
        elif text[max(0, at - 2) : at] == "*/" and (opening := text.rfind("/*", max(0, at - PREFIX_CHARS), at)) >= 0:
            begin = opening
        elif text[line:at].lstrip().startswith("--") and "\n" in text[at:begin]:
            begin = line + len(text[line:at]) - len(text[line:at].lstrip())
        else:
            break
    return begin


def _part_text(part: Any) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, dict):
        fields = cast("dict[str, Any]", part)
        return str(fields.get("text", "")) if fields.get("type", "text") == "text" else ""
    return ""


def _thought_of(part: dict[str, Any]) -> str:
    said = (
        part.get("reasoning") or part.get("thinking") or (part.get("text") if part.get("type") == "reasoning" else "")
    )
    return said if isinstance(said, str) else ""
