"""Rank tables by their relevance to a question, by words alone: names, comments and values, without model or embedding.

A table is a bag of stemmed words, those of its name weighing more than those of its columns, comments and values.
Words are weighed as in BM25 (Robertson and Zaragoza 2009): rare ones more, repeated ones less and less. Relevance
then passes along foreign keys, so that a table that only joins two relevant ones is kept with them.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sql_graph.databases.schema import Schema, Table

NAME_WEIGHT = 3.0
COLUMN_WEIGHT = 1.0
COMMENT_WEIGHT = 1.0
VALUE_WEIGHT = 1.5
SATURATION = 1.2
FLOW = 0.35
"""Share of a table's own relevance that each foreign-key neighbour gains."""
JOIN_PATH = 0.35
"""Share of the lesser of two relevant tables that a table between them gains."""

_PIECE = re.compile(r"[A-Z]+(?![^\W\d_A-Z\u2e80-\uffff])|[A-Z]?[^\W\d_A-Z\u2e80-\uffff]+|\d+|[\u2e80-\uffff]+")
_FIRST_UNSPACED = "\u2e80"
"""From here on Unicode holds the scripts of China and Japan."""
_STOP = frozenset(
    {
        "a", "an", "and", "any", "are", "as", "at", "be", "by", "did", "do", "does", "each", "find", "for",
        "from", "give", "get", "had", "has", "have", "how", "i", "in", "is", "it", "its", "list", "many", "me",
        "much", "number", "of", "on", "or", "show", "tell", "than", "that", "the", "their", "them", "there",
        "these", "this", "those", "to", "was", "were", "what", "when", "where", "which", "who", "whose", "with",
        "you", "your", "all", "also", "every", "please", "return", "both", "not", "no", "other", "more", "most",
        "least", "less", "between",
    }
)  # fmt: skip


def terms(text: str) -> Iterator[str]:
    """The stemmed words of a name or a sentence: split at blanks, marks, underscores and changes of case.

    Scripts that write no blanks between words give pairs of neighbouring characters instead.
    """
    for piece in _PIECE.findall(text):
        word = piece.lower()
        if word[0] >= _FIRST_UNSPACED:
            yield from (word[i : i + 2] for i in range(max(1, len(word) - 1)))
        elif word not in _STOP:
            yield stem(word)


def stem(word: str) -> str:
    """A word without its plural or verbal ending. The rules need to be consistent, not correct."""
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("sses", "xes", "ches", "shes", "zes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ing", "ed"):
        if len(word) > len(ending) + 3 and word.endswith(ending):
            return word[: -len(ending)]
    return word[:-1] if len(word) > 4 and word.endswith("e") else word


class Linker:
    """The words of a schema's tables, counted once, and the links between them."""

    def __init__(self, schema: Schema) -> None:
        self._weights = [_bag(table) for table in schema.tables]
        containing: defaultdict[str, int] = defaultdict(int)
        for bag in self._weights:
            for term in bag:
                containing[term] += 1
        n = len(self._weights)
        self._rarity = {term: math.log(1 + (n - k + 0.5) / (k + 0.5)) for term, k in containing.items()}
        self._neighbours = _neighbours(schema)

    def rank(self, question: str) -> list[int]:
        """Indices of all tables, most relevant first; ties in the schema's order."""
        asked = dict.fromkeys(_with_pairs(list(terms(question))))
        own = [self._relevance(bag, asked) for bag in self._weights]
        total = [score + FLOW * max((own[j] for j in self._neighbours[i]), default=0.0) for i, score in enumerate(own)]
        for i, neighbours in enumerate(self._neighbours):
            second = sorted((own[j] for j in neighbours), reverse=True)[1:2]
            total[i] += JOIN_PATH * (second[0] if second else 0.0)
        return sorted(range(len(total)), key=lambda i: (-total[i], i))

    def _relevance(self, bag: dict[str, float], asked: Iterable[str]) -> float:
        return sum(self._rarity[term] * bag[term] / (bag[term] + SATURATION) for term in asked if term in bag)


def _with_pairs(words: list[str]) -> Iterator[str]:
    """The words, and neighbours written as one, as names often are (`birth place` for `birthplace`)."""
    yield from words
    for first, second in itertools.pairwise(words):
        yield first + second


def _bag(table: Table) -> dict[str, float]:
    bag: defaultdict[str, float] = defaultdict(float)
    _add(bag, table.name, NAME_WEIGHT)
    _add(bag, table.comment, COMMENT_WEIGHT)
    for column in table.columns:
        _add(bag, column.name, COLUMN_WEIGHT)
        _add(bag, column.comment, COMMENT_WEIGHT)
        for value in column.values:
            _add(bag, value, VALUE_WEIGHT)
    return dict(bag)


def _add(bag: defaultdict[str, float], text: str, weight: float) -> None:
    for term in dict.fromkeys(_with_pairs(list(terms(text)))):
        bag[term] = max(bag[term], weight) + (0.25 * weight if term in bag else 0.0)


def _neighbours(schema: Schema) -> list[list[int]]:
    """For each table the tables that it refers to or that refer to it, each once."""
    index = {table.name.lower(): i for i, table in enumerate(schema.tables)}
    links: list[dict[int, None]] = [{} for _ in schema.tables]
    for i, table in enumerate(schema.tables):
        for key in table.foreign_keys:
            j = index.get(key.table.lower())
            if j is not None and j != i:
                links[i][j] = None
                links[j][i] = None
    return [list(found) for found in links]
