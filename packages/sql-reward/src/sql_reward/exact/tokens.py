"""Cut SQL into the words that Spider's exact-match grammar reads.

The official grammar reads the words of an English tokenizer, not those of SQL: `a=1` is one word, `a,1` is one word,
`>=` is two, and every quote counts as `"`. Published figures of exact match and hardness depend on these rules, so this
module repeats them. Nothing else uses it.
"""

import re
from collections.abc import Container
from typing import NoReturn

QUOTED = re.compile(r'"[^"]*"')
"""A literal. After `'` has become `"`, quotes pair up from left to right."""

_END_OF_TEXT_PERIOD = re.compile(r"([^.])\.([\])}>»”’ ]*)\s*$")
_COLON_OR_COMMA = re.compile(r"([:,])(\D)")
"""A comma before a digit stays inside its word, as in `1,000`; what follows the comma is used up by the match."""
_ALONE = re.compile(r"[:,]$|\.{2,}|[;@#$%&?!*\[\](){}<>]|--|[«“‘„»”’]|`+")
"""Signs that are always words of their own."""
_CONTRACTIONS = re.compile(r"\b(can)(not)\b|\b(gim)(me)\b|\b(gon)(na)\b|\b(got)(ta)\b|\b(lem)(me)\b", re.IGNORECASE)
_COMPARISONS = ("!", ">", "<")


def split_words(sql: str) -> list[str] | None:
    """The words of `sql` in lower case, each literal one word with its `"`; None where quotes do not pair up.

    A literal that touches another word (`name="x"`) is part of that word, so the grammar rejects it.
    """
    text = sql.replace("'", '"')
    if text.count('"') % 2:
        return None
    literals: dict[str, str] = {}

    def set_aside(match: re.Match[str]) -> str:
        key = f"__literal_{len(literals)}__"
        literals[key] = match.group()
        return key

    text = QUOTED.sub(set_aside, text)
    text = _END_OF_TEXT_PERIOD.sub(r"\1 . \2 ", text)
    text = _COLON_OR_COMMA.sub(r" \1 \2", text)
    text = _ALONE.sub(r" \g<0> ", text)
    text = _CONTRACTIONS.sub(lambda match: " ".join(filter(None, match.groups())), text)
    words = [literals.get(word, word) for word in text.lower().split()]
    return _join_comparisons(words)


def _join_comparisons(words: list[str]) -> list[str]:
    """Join `>` `=` to one word, and likewise `<` `=` and `!` `=`."""
    joined: list[str] = []
    for word in words:
        if word == "=" and joined and joined[-1] in _COMPARISONS:
            joined[-1] += "="
        else:
            joined.append(word)
    return joined


class NoReadingError(Exception):
    """The grammar cannot go on here. `parse_query` turns it into `UnparsableSqlError`."""


def no_reading(reason: str) -> NoReturn:
    """Stop reading.

    Raises:
        NoReadingError: always.
    """
    raise NoReadingError(reason)


class Cursor:
    """A place in a list of words."""

    def __init__(self, words: list[str]) -> None:
        self.words = words
        self.at = 0

    def peek(self) -> str:
        """The word at the cursor; the text may not end here."""
        if self.at >= len(self.words):
            no_reading("it ends too early")
        return self.words[self.at]

    def sees(self, choices: Container[str]) -> bool:
        """Whether the word at the cursor is one of `choices`; at the end of the text none is."""
        return self.at < len(self.words) and self.words[self.at] in choices

    def take(self, word: str) -> bool:
        """Step over `word` if it is here."""
        found = self.sees((word,))
        self.at += found
        return found

    def expect(self, word: str) -> None:
        """Step over `word`, which must be here."""
        if self.peek() != word:
            no_reading(f"expected {word!r}, found {self.peek()!r}")
        self.at += 1
