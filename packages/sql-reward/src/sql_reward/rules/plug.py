"""The official flag `plug_value`: try the gold query's literals in a prediction whose own literals may be wrong.

A literal is a text in quotes or a number that is a word of its own. Use this to score systems that do not predict
values, not for training.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Final

from sql_reward.rules.lexer import Kind, first_statement, tokens

_SLOT: Final = "VALUERARE"
_ALIAS_DOT: Final = re.compile(r"(T\d+\.)\s")
_ALIAS: Final = re.compile(r"[Tt]\d+\.")
_REAL: Final = re.compile(r"[-+]?\d*\.\d+")
_INTEGER: Final = re.compile(r"[^tT]\d+")
"""Digits and the one character before them, which is no t: the numbers in T1 and T2 are no values."""
_ALIAS_STARS: Final = ("t1.*", "t2.*", "t3.*", "T1.*", "T2.*", "T3.*")


def filled_predictions(gold_sql: str, predicted_sql: str) -> Iterator[str]:
    """The prediction with each assignment of gold values to its slots, one at a time: values to the power of slots."""
    _, values = _slots_and_values(gold_sql)
    words, _ = _slots_and_values(predicted_sql)
    places = [index for index, word in enumerate(words) if word == _SLOT.lower()]
    for chosen in itertools.product(sorted(set(values)), repeat=len(places)):
        filled = list(words)
        for place, value in zip(places, chosen, strict=True):
            filled[place] = value
        yield " ".join(filled)


def _slots_and_values(sql: str) -> tuple[list[str], list[str]]:
    """The words of a statement in lower case, with a slot in the place of each value, and these values."""
    statement = "".join(first_statement(sql.strip().replace(";", "").replace("\t", "")))
    text = " ".join([token.text for token in tokens(statement) if token.kind is not Kind.BLANK])
    for star in _ALIAS_STARS:
        text = text.replace(star, "*")
    text = _ALIAS_DOT.sub(r"\1", text)
    values = [token.text for token in tokens(text) if token.kind in (Kind.STRING, Kind.SYMBOL)]
    for value in values:
        text = text.replace(value, _SLOT)
    reals = set(_REAL.findall(text))
    words = text.split()
    values += [word for word in words if word in reals]
    words = [_SLOT if word in reals else word for word in words]
    integers = {found.strip() for found in _INTEGER.findall(" ".join(words))}
    values += [word for word in words if word in integers]
    words = [_SLOT if word in integers else word for word in words]
    return [part for word in words for part in _parts(word)], values


def _parts(word: str) -> list[str]:
    parts = word.replace(".", " . ").split() if _ALIAS.search(word) else [word]
    return [part.lower() for part in parts]
