"""Queries inside other notations: JSON, tool calls, tags, and strings of program text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, cast

from sql_graph.sqltext import READ, WRITE, begins

QUERY_KEYS = (
    "sql", "sql_query", "final_sql", "final_query", "query", "sqlquery", "statement", "code", "answer", "final_answer",
    "action_input", "input", "arguments", "args", "parameters", "params", "function", "tool_calls", "tool_input",
    "output", "response", "result", "content", "command", "solution",
)  # fmt: skip
"""Keys under which models put a query, or an object that holds one; the first that holds one counts."""
THOUGHT_KEYS = re.compile(r"thought|think|reason|draft|analysis|plan|explanation|rationale|observation", re.IGNORECASE)
MAX_OBJECTS = 40
MAX_DEPTH = 6
_OBJECT = re.compile(r"\{(?=\s*[\"'])|\[(?=\s*\{\s*\")")
_LOOSE = re.compile(
    r"[\"'](?:sql|sql_query|sqlquery|query|final_sql|final_query|statement|action_input)[\"']\s*:\s*([\"'])",
    re.IGNORECASE,
)
_TAG = re.compile(
    r"(?:<(?!/)[A-Za-z][\w:.-]*(?:[\s=][^<>\n]{0,80})?>|\[(?:SQL|QUERY|ANSWER|FINAL(?:[_ ](?:SQL|QUERY|ANSWER))?|"
    r"OUTPUT|SOLUTION)\]|"
    r"<!\[CDATA\[|\\boxed\{(?:\\text(?:tt)?\{)?)\s*",
    re.IGNORECASE,
)
_TAG_END = re.compile(r"</|\[/[A-Za-z]|\]\]>|(?<!\})\}++\s*+\$*+\s*+\Z|(?<!\})\}++[ \t]*+\$*+\n|\Z")
_LITERAL = re.compile(
    r"(?<![\w\[])(?:(?P<triple>\"\"\"|''')(?P<long>.*?)(?:(?P=triple)|\Z)"
    r"|\"(?P<double>(?:[^\"\\\n]|\\[^\n])*+)\"|'(?P<single>(?:[^'\\\n]|\\[^\n])*+)'|[\"'][^\n]*)",
    re.DOTALL,
)
"""String literals; one that never closes ends with its line. A list of texts is data."""
_ESCAPE = re.compile(r"\\(n|t|r|\"|'|\\|/)")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


def looks_like_query(text: str) -> bool:
    """Whether a text begins like a statement, comments and parentheses aside."""
    return begins(READ, text) or begins(WRITE, text)


def json_queries(text: str) -> Iterator[str]:
    """The query in each JSON object of a text, in order; objects may stand in prose and in one another."""
    decoder = json.JSONDecoder(strict=False)
    at = tried = 0
    while tried < MAX_OBJECTS and (opening := _OBJECT.search(text, at)):
        tried += 1
        at = opening.end()
        try:
            value, at = decoder.raw_decode(text, opening.start())
        except (ValueError, RecursionError):
            continue
        if (found := _held(value, 0)) is not None:
            yield found


def loose_queries(text: str) -> Iterator[str]:
    """Queries under a known key of an object that is no valid JSON: wrong quotes, a missing comma."""
    end = 0
    for key in _LOOSE.finditer(text):
        if key.start() < end:
            continue
        quote = key.group(1)
        closing = re.compile(rf"(?<!\\){quote}\s*(?:,\s*[\"']\w+[\"']\s*:|[}}\]])").search(text, key.end())
        if closing is None:
            return
        end = closing.end()
        body = unescaped(text[key.end() : closing.start()]).strip()
        if looks_like_query(body):
            yield body


def tagged_queries(text: str) -> Iterator[tuple[str, bool]]:
    """The query right after each opening tag, with whether the tag is closed."""
    stop = 0
    for tag in _TAG.finditer(text):
        if tag.start() < stop or not looks_like_query(text[tag.end() : tag.end() + 400]):
            continue
        end = _TAG_END.search(text, tag.end())
        stop = end.start() if end else len(text)
        yield text[tag.end() : stop].strip(), stop < len(text)


def literal_queries(text: str) -> Iterator[str]:
    """Queries that are string literals of a program: `query = \"\"\"SELECT …\"\"\"`, `run(\"SELECT …\")`."""
    for literal in _LITERAL.finditer(text):
        body = literal["long"]
        if body is None:
            short = literal["double"] if literal["double"] is not None else literal["single"]
            body = unescaped(short or "")
        if looks_like_query(body):
            yield body.strip()


def unescaped(text: str) -> str:
    """A text without the backslash escapes of JSON and of programs."""
    return _ESCAPE.sub(lambda escape: _ESCAPES.get(escape.group(1), escape.group(1)), text)


def _held(value: Any, depth: int) -> str | None:
    """The query in a JSON value: under the keys that models use, then under any other, then inside other objects."""
    if depth > MAX_DEPTH:
        return None
    if isinstance(value, list):
        items = cast("list[Any]", value)
        found = [held for item in items if isinstance(item, dict | list) and (held := _held(item, depth + 1))]
        return found[-1] if found else None
    if not isinstance(value, dict):
        return None
    fields = {str(key).lower(): item for key, item in cast("dict[Any, Any]", value).items()}
    keys = [key for key in QUERY_KEYS if key in fields]
    keys += [key for key in fields if key not in keys and not THOUGHT_KEYS.search(key)]
    for key in keys:
        if (found := _in_field(fields[key], depth)) is not None:
            return found
    return None


def _in_field(item: Any, depth: int) -> str | None:
    if isinstance(item, str):
        text = item.strip()
        if looks_like_query(text):
            return text
        return next(json_queries(text), None) if text.startswith(("{", "[")) and depth < MAX_DEPTH else None
    if isinstance(item, list):
        texts = [text for text in cast("list[Any]", item) if isinstance(text, str) and looks_like_query(text)]
        if texts:
            return texts[-1].strip()
    return _held(item, depth + 1)
