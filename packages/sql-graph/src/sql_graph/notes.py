"""What people know about a database and its schema does not say: a glossary, formulas, conventions.

Notes are a text file. A part is a paragraph or an item of a list, with the headings above it. The parts that share the
rarest words with a question are shown first, each whole, as far as the room goes; without a word in common the parts
come in the order of the file, because a convention holds for every question.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from sql_graph.agent.linker import terms
from sql_graph.agent.shown import tame
from sql_graph.agent.tokens import estimate_tokens
from sql_graph.errors import UsageError

SHARE = 0.3
"""Of the room for the schema, what notes may take at most."""
MAX_BYTES = 4 * 1024 * 1024
_HEAD = "-- Notes:"
_HEADING = re.compile(r"(#{1,6})\s+(.+)")
_ITEM = re.compile(r"\s*(?:[-*+•]|\d{1,3}[.)])\s+")


@dataclass(frozen=True, slots=True)
class Notes:
    """The parts of a text of notes, in its order."""

    parts: tuple[str, ...]
    """Each on one line, its headings before it: `Revenue: gross revenue is price times quantity`."""

    @classmethod
    def of(cls, text: str) -> Notes:
        """The notes in a text: Markdown, or plain paragraphs."""
        headings: dict[int, str] = {}
        parts: list[list[str]] = []
        begins = True
        for line in tame(text.replace("\r", "\n")).split("\n"):
            if found := _HEADING.fullmatch(line.strip()):
                level = len(found[1])
                headings = {at: title for at, title in headings.items() if at < level} | {level: found[2].strip()}
                begins = True
            elif not line.strip():
                begins = True
            elif begins or _ITEM.match(line):
                above = [f"{title}:" for _, title in sorted(headings.items()) if _tells(title)]
                parts.append([*above, _ITEM.sub("", line, count=1)])
                begins = False
            else:
                parts[-1].append(line)
        return cls(tuple(" ".join(" ".join(part).split()) for part in parts))

    @classmethod
    def read(cls, path: Path) -> Notes:
        """The notes in a UTF-8 file.

        Raises:
            UsageError: the file cannot be read, is too large, or is no UTF-8.
        """
        try:
            if path.stat().st_size > MAX_BYTES:
                raise UsageError(
                    f"the notes {str(path)!r} are larger than {MAX_BYTES} bytes",
                    argument="notes",
                    advice="shorten them",
                )
            return cls.of(path.read_text(encoding="utf-8-sig"))
        except OSError as error:
            raise UsageError(
                f"cannot read the notes {str(path)!r}: {error.strerror or error}", argument="notes"
            ) from error
        except UnicodeDecodeError as error:
            raise UsageError(
                f"the notes {str(path)!r} are no UTF-8", argument="notes", advice="save them as UTF-8"
            ) from error

    def about(self, question: str, *, budget_tokens: int) -> str:
        """The most relevant parts for a question, as lines of comment within `budget_tokens`; empty where none fits.

        The same text for the same arguments.
        """
        words = [set(terms(part)) for part in self.parts]
        often = Counter(word for each in words for word in each)
        asked = set(terms(question))
        scores = [sum(math.log1p(len(words) / often[word]) for word in each & asked) for each in words]
        room = budget_tokens - estimate_tokens(_HEAD) - 1
        lines: list[str] = []
        for i in sorted(range(len(words)), key=lambda i: (-scores[i], i)):
            line = f"-- {self.parts[i]}"
            size = estimate_tokens(line) + 1  # the line break before it
            if size <= room:
                lines.append(line)
                room -= size
        return "\n".join([_HEAD, *lines]) if lines else ""


def _tells(title: str) -> bool:
    """Whether a heading says more than that these are notes."""
    return title.lower() not in ("notes", "glossary", "formulas", "conventions", "terms", "definitions")
