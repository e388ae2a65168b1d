"""Read question records in several encodings, as a JSON list or as lines, with keys in several spellings.

Nothing is converted: a value is the value in the file. Faults are returned beside the records, so that a caller can
stop at the first fault or collect all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

_SPELLINGS = {
    "question": ("question", "spidersynquestion"),
    "query": ("query", "sql"),
    "db_id": ("db_id", "dbid", "database_id", "database"),
    "split": ("split",),
    "hardness": ("hardness",),
}
"""A task's fields and the names that files give them, case and blanks aside: BIRD writes `SQL`, Spider-Syn
`SpiderSynQuestion`."""

_FIELD = {spelling: field for field, spellings in _SPELLINGS.items() for spelling in spellings}

_BOMS = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A record of a JSON file, or what is wrong with it."""

    line: int
    """Line on which it begins, counted from 1."""
    value: Any = None
    fault: str = ""
    """Empty when there is a value."""


class _TwiceError(ValueError):
    """A JSON object has a key twice; the argument is the key."""


def decode(raw: bytes, *, windows: bool = False) -> tuple[str, bool]:
    """The text of a file, and whether it was read as Windows-1252.

    A byte order mark decides; without one the text is UTF-8, or UTF-16 when many second bytes are zero. Only when
    `windows` allows it, text that is none of these is read as Windows-1252, as older spreadsheets write it.

    Raises:
        UnicodeDecodeError: the bytes are text in none of these encodings.
    """
    for mark, encoding in _BOMS:
        if raw.startswith(mark):
            return raw.decode(encoding), False
    head = raw[:1000]
    first, second = head[::2].count(0), head[1::2].count(0)
    if max(first, second) > len(head) // 8 and min(first, second) == 0:
        return raw.decode("utf-16-le" if second else "utf-16-be"), False
    try:
        return raw.decode("utf-8"), False
    except UnicodeDecodeError:
        if not windows:
            raise
        return raw.decode("cp1252"), True


def field_of(name: str) -> str | None:
    """The field of a task that a key or a column heading names; None when it names none."""
    return _FIELD.get(re.sub(r"[\s_-]+", "_", name.strip().strip("\ufeff").strip()).casefold())


def fields_of(record: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The fields of a task in a record, and a sentence for each field to which two keys give different values.

    A parse tree under `sql`, as in Spider beside `query`, does not count as a query.
    """
    found: dict[str, Any] = {}
    origin: dict[str, str] = {}
    faults: list[str] = []
    for key, value in record.items():
        field = field_of(key)
        if field is None or (key == "sql" and isinstance(value, dict | list)):
            continue
        if field not in found or _is_blank(found[field]):
            found[field], origin[field] = value, key
        elif not _is_blank(value) and value != found[field]:
            faults.append(f"{origin[field]!r} and {key!r} both give the {field} and differ; keep one of them")
    return found, faults


def json_items(text: str) -> Iterator[Item]:
    """The records of a JSON list, or of a file with one JSON value on each line.

    A broken line is one fault. After a fault inside a list the next item cannot be found, so the items end there.
    """
    start = _skip(text, 0)
    if text[start : start + 1] == "[":
        yield from _list_items(text, start)
        return
    lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    if len(lines) > 1 and isinstance(value := _whole(text), dict):
        keys = ", ".join(cast("dict[str, Any]", value))
        yield Item(line=1, fault=f"expected a list of objects or one object a line, found one object with {keys:.80}")
        return
    for number, line in lines:
        try:
            yield Item(line=number, value=_STRICT.decode(line.strip()))
        except (ValueError, RecursionError) as error:
            yield Item(line=number, fault=_why(error))


def _list_items(text: str, start: int) -> Iterator[Item]:
    line, at = 1 + text.count("\n", 0, start), start
    after = _skip(text, start + 1)
    while text[after : after + 1] != "]":
        line, at = line + text.count("\n", at, after), after
        try:
            value, after = _STRICT.raw_decode(text, at)
            yield Item(line=line, value=value)
        except _TwiceError as error:
            yield Item(line=line, fault=_why(error))
            after = _PLAIN.raw_decode(text, at)[1]
        except (ValueError, RecursionError) as error:
            yield Item(line=line, fault=_why(error))
            return
        after = _skip(text, after)
        if text[after : after + 1] == ",":
            after = _skip(text, after + 1)
        elif text[after : after + 1] != "]":
            line += text.count("\n", at, after)
            yield Item(line=line, fault=f"broken JSON: the list ends early at character {after}")
            return
    rest = _skip(text, after + 1)
    if rest < len(text):
        line += text.count("\n", at, rest)
        yield Item(line=line, fault=f"broken JSON: {text[rest : rest + 20]!r} follows the end of the list")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        keys = [key for key, _ in pairs]
        raise _TwiceError(next(key for key in keys if keys.count(key) > 1))
    return record


_STRICT = json.JSONDecoder(object_pairs_hook=_object)
_PLAIN = json.JSONDecoder()


def _whole(text: str) -> object:
    try:
        return _PLAIN.decode(text)
    except (ValueError, RecursionError):
        return None


def _why(error: ValueError | RecursionError) -> str:
    if isinstance(error, _TwiceError):
        return f"broken JSON (the key {error.args[0]!r} occurs twice)"
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON ({error.msg} at column {error.colno})"
    return "not JSON that can be read (nested too deeply, or a number of thousands of digits)"


def _is_blank(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at
