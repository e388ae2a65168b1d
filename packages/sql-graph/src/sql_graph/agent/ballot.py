"""Which of several answers to one question most of them agree with, by what their queries gave. No model, no database.

Two answers agree when their results are the same: the same rows as a bag, or in sequence where the query sorts them,
whatever the order and the names of the columns. An answer whose query failed has no vote, and one whose result is
empty has none where another found something. (Self-consistency over execution results, as in DAIL-SQL, Gao et al.
2023, with the refinement that failures and empty results do not vote.)
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from sql_graph.agent.state import SqlAnswer
from sql_graph.ports import ObservationStatus
from sql_graph.sqltext import plain

DIGITS = 12
"""Significant digits of a number that count: sums in another order differ in later ones."""
ROUNDS = 3
"""Times that rows and columns are named by each other's names; two tell all but contrived tables apart."""
_PARENTHESISED = re.compile(r"\([^()]*\)")
_ORDER = re.compile(r"\border\s+by\b", re.IGNORECASE)


class Ballot:
    """The answers given so far to one question."""

    def __init__(self) -> None:
        self.samples: list[SqlAnswer] = []
        """In the order in which they were given."""
        self._digests: list[str | None] = []

    def add(self, found: SqlAnswer) -> None:
        """Count one answer."""
        self.samples.append(found)
        self._digests.append(vote_of(found))

    def counts(self) -> Counter[str]:
        """The votes of each result, in the order in which results first came up."""
        found = any(sample.ran and not _is_empty(sample) for sample in self.samples)
        return Counter(
            digest
            for digest, sample in zip(self._digests, self.samples, strict=True)
            if digest is not None and not (found and _is_empty(sample))
        )

    def is_certain(self, *, remaining: int) -> bool:
        """Whether `remaining` further answers can change the elected result no more.

        Empty results decide nothing before the end: a single answer that finds something outvotes them all.
        """
        best, *others = self.counts().most_common(2) or [("", 0)]
        second = others[0][1] if others else 0
        return best[1] - second > remaining and (remaining == 0 or not _is_empty(self.samples[self._first(best[0])]))

    def elected(self) -> tuple[int, float]:
        """The position of the elected answer, and the share of all answers that agree with it.

        Among results with equally many votes, the one that the model gave the most probable reply for; the earliest
        where an endpoint gave no probabilities. Where nothing ran, the first answer, with share 0.
        """
        counts = self.counts()
        if not counts:
            return 0, 0.0
        most = max(counts.values())
        tied = [digest for digest, count in counts.items() if count == most]
        chosen = tied[0]
        if len(tied) > 1:
            chances = {digest: self._logprob(digest) for digest in tied}
            if all(chance is not None for chance in chances.values()):
                chosen = max(tied, key=lambda digest: chances[digest] or 0.0)  # the earliest among equals
        return self._first(chosen), most / len(self.samples)

    def _first(self, digest: str) -> int:
        return self._digests.index(digest)

    def _logprob(self, digest: str) -> float | None:
        """The log-probability of the most probable reply that gave this result; None where one is unknown."""
        found = [
            reply_logprob(sample) for sample, given in zip(self.samples, self._digests, strict=True) if given == digest
        ]
        known = [each for each in found if each is not None]
        return max(known) if len(known) == len(found) else None


def vote_of(found: SqlAnswer) -> str | None:
    """What an answer votes for: a text that answers share whose results agree; None where its query did not run."""
    observation = found.result or found.observation
    if observation is None or not observation.ran:
        return None
    if _is_empty(found):
        return "empty"
    if not observation.rows:  # a database that gives only text
        return hashlib.blake2b(observation.text.encode(errors="surrogatepass"), digest_size=16).hexdigest()
    return result_digest(observation.rows, ordered=is_sorted(found.sql or ""))


def result_digest(rows: Sequence[Sequence[Any]], *, ordered: bool) -> str:
    """A text that two results share if they are the same up to the order of columns and, unless `ordered`, of rows.

    Numbers are the same value in every type, to twelve digits. Each column is named by the bag of its values, each row
    by the bag of its values with the names of their columns, and so on in turn; the digest is of all the names. Equal
    results always share it. Different ones that share it would have to be symmetric in rows and columns at once.
    """
    cells = [[_canonical(cell) for cell in row] for row in rows]
    width = len(cells[0]) if cells else 0
    row_names = [str(i) if ordered else "" for i in range(len(cells))]
    column_names = [""] * width
    for _ in range(ROUNDS):
        column_names = [_name(f"{row_names[i]}\x1f{row[j]}" for i, row in enumerate(cells)) for j in range(width)]
        row_names = [
            (f"{i}\x1e" if ordered else "") + _name(f"{column_names[j]}\x1f{cell}" for j, cell in enumerate(row))
            for i, row in enumerate(cells)
        ]
    return _name([_name(column_names), _name(row_names)])


def is_sorted(sql: str) -> bool:
    """Whether a query sorts its own result: ORDER BY outside of parentheses, quotes and comments."""
    text = plain(sql)
    while (inner := _PARENTHESISED.sub(" ", text)) != text:
        text = inner
    return _ORDER.search(text) is not None


def reply_logprob(found: SqlAnswer) -> float | None:
    """The log-probability of the reply that holds the answer's query; None where it is unknown."""
    asked = [call for call in found.calls if call.node != "check_query"]
    for attempt, call in zip(found.attempts, asked, strict=False):
        if attempt.sql == found.sql:
            return call.logprob
    return None


def _is_empty(found: SqlAnswer) -> bool:
    observation = found.result or found.observation
    return observation is not None and observation.status is ObservationStatus.EMPTY


def _canonical(value: Any) -> str:
    if isinstance(value, float | Decimal) and math.isfinite(value) and value == int(value):
        value = int(value)
    if isinstance(value, int):
        return f"n{int(value)}"  # True is 1
    if isinstance(value, float | Decimal):
        return f"n{float(value):.{DIGITS}g}"
    return f"{type(value).__name__}:{value!r}"


def _name(parts: Iterable[str]) -> str:
    """A short name of a bag of texts."""
    text = "\x1d".join(sorted(parts))
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).hexdigest()
