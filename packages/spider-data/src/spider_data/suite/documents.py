"""JSON values for one column of a variant: documents with the structure of the column's own and other values.

A gold query that reads a path of the document must find a value there. So keys stay, a value is replaced by one that
the column has at that path, and a list gains or loses one of its items.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, cast

Leaves = dict[tuple[str, ...], list[Any]]
"""Maps a path to the values found there; all items of a list share one path."""

_MOST = 50
"""Number of documents whose values are collected."""


def are_documents(values: Sequence[object]) -> bool:
    """Whether all values are texts of JSON objects or lists."""
    return bool(values) and all(isinstance(value, str) and parse(value) is not None for value in values)


def parse(text: str) -> dict[str, Any] | list[Any] | None:
    """The object or list that a text holds; None when the text is not strict JSON."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        found = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any] | list[Any]", found) if isinstance(found, dict | list) else None


def other_document(own: Sequence[str], rng: random.Random) -> str:
    """A document like one of `own`, with some values from other documents and some numbers changed by one."""
    model = rng.choice(own)
    leaves: Leaves = defaultdict(list)
    for text in own[:_MOST]:
        for path, value in _walk(parse(text), ()):
            leaves[path].append(value)
    changed = _change(parse(model), (), leaves, rng)
    separators = (", ", ": ") if '": ' in model else (",", ":")
    text = json.dumps(changed, ensure_ascii=model.isascii(), separators=separators)
    # A document may contain a lone surrogate, which no database accepts as text.
    return text if text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text) else model


def _walk(value: object, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], object]]:
    if isinstance(value, dict):
        for key, item in cast("dict[str, object]", value).items():
            yield from _walk(item, (*path, key))
    elif isinstance(value, list):
        for item in cast("list[object]", value):
            yield from _walk(item, (*path, "[]"))
    else:
        yield path, value


def _change(value: object, path: tuple[str, ...], leaves: Leaves, rng: random.Random) -> object:
    if isinstance(value, dict):
        items = cast("dict[str, object]", value).items()
        return {key: _change(item, (*path, key), leaves, rng) for key, item in items}
    if isinstance(value, list):
        places = cast("list[object]", value)
        changed = [_change(item, (*path, "[]"), leaves, rng) for item in places]
        if changed and rng.random() < 0.3:
            changed = [*changed, rng.choice(changed)] if rng.random() < 0.5 else changed[1:]
        return changed
    if type(value) is int and rng.random() < 0.2:
        return value + rng.choice((-1, 1))
    return rng.choice(leaves[path]) if rng.random() < 0.5 else value


def _refuse(name: str) -> object:
    raise ValueError(f"{name} is not JSON")
