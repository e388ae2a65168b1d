"""How sure one may be: intervals, paired tests, votes and pass@k over verdicts. Pure arithmetic, no SQL.

Two systems that answered the same questions are compared question by question: what both got right or
wrong says nothing about their difference, and an unpaired interval would hide a real one.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = [  # noqa: RUF022  grouped by meaning
    # a share
    "Interval",
    "wilson_interval",
    # two systems on the same questions
    "PairedComparison",
    "compare_paired",
    "newcombe_interval",
    "mcnemar_p",
    # several answers to one question
    "pass_at_k",
    "majority_vote",
    "result_digest",
]


@dataclass(frozen=True, slots=True)
class Interval:
    """A closed interval of proportions, or of their difference; never percent."""

    low: float
    high: float


def wilson_interval(successes: int, total: int, *, confidence: float = 0.95) -> Interval:
    """Wilson's score interval of a proportion; [0, 1] where nothing was counted.

    Source: Wilson 1927, without continuity correction. Unlike `p ± z·se` it never leaves [0, 1] and holds near 0 and 1.

    Raises:
        ValueError: not 0 <= successes <= total, or a confidence outside (0, 1).
    """
    z = _normal_quantile(confidence)
    if not 0 <= successes <= total:
        raise ValueError(f"expected 0 <= successes <= total, got {successes!r} of {total!r}; count each question once")
    if total == 0:
        return Interval(0.0, 1.0)
    share = successes / total
    scale = 1 + z * z / total
    centre = (share + z * z / (2 * total)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return Interval(
        0.0 if successes == 0 else max(0.0, centre - half), 1.0 if successes == total else min(1.0, centre + half)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedComparison:
    """Two systems on the same questions."""

    both: int
    """Questions that both got right."""
    only_first: int
    only_second: int
    neither: int
    difference: float
    """Share of the second minus share of the first: positive where the second is better."""
    interval: Interval
    """Newcombe's interval of `difference`."""
    p_value: float
    """Exact two-sided McNemar test of no difference."""

    @property
    def total(self) -> int:
        """Questions compared."""
        return self.both + self.only_first + self.only_second + self.neither


def compare_paired(first: Sequence[bool], second: Sequence[bool], *, confidence: float = 0.95) -> PairedComparison:
    """Compare two systems; `first[i]` and `second[i]` say whether each got question `i` right.

    Raises:
        ValueError: unequal lengths, no question at all, or a confidence outside (0, 1).
    """
    if len(first) != len(second) or not first:
        raise ValueError(
            f"expected one verdict per question from each system, got {len(first)} and {len(second)}; "
            "pair them by question first"
        )
    counts = Counter(zip(map(bool, first), map(bool, second), strict=True))
    both, only_first, only_second = counts[True, True], counts[True, False], counts[False, True]
    neither = counts[False, False]
    return PairedComparison(
        both=both,
        only_first=only_first,
        only_second=only_second,
        neither=neither,
        difference=(only_second - only_first) / len(first),
        interval=newcombe_interval(both, only_second, only_first, neither, confidence=confidence),
        p_value=mcnemar_p(only_first, only_second),
    )


def mcnemar_p(only_first: int, only_second: int) -> float:
    """Exact two-sided McNemar test: the chance of a split at least this uneven if each side were equally likely.

    Source: McNemar 1947, with the binomial distribution instead of its chi-square approximation.
    """
    total = only_first + only_second
    term = tail = 1
    for chosen in range(min(only_first, only_second)):
        term = term * (total - chosen) // (chosen + 1)
        tail += term
    return min(1.0, 2 * tail / 2**total)  # integers: nothing is lost before the division


def newcombe_interval(both: int, gained: int, lost: int, neither: int, *, confidence: float = 0.95) -> Interval:
    """Interval of the paired difference (gained - lost) / total.

    Source: Newcombe 1998, "Improved confidence intervals for the difference between binomial proportions based on
    paired data", method 10: the two Wilson intervals combined, less what the pairing explains. Against `d ± z·se` it
    keeps its coverage for few questions and for systems that hardly differ.
    """
    total = both + gained + lost + neither
    after, before = (both + gained) / total, (both + lost) / total
    wilson_after = wilson_interval(both + gained, total, confidence=confidence)
    wilson_before = wilson_interval(both + lost, total, confidence=confidence)
    margins = (both + gained) * (lost + neither) * (both + lost) * (gained + neither)
    agreement = both * neither - gained * lost
    if agreement > 0:
        agreement = max(agreement - total / 2, 0)
    phi = agreement / math.sqrt(margins) if margins else 0.0

    def reach(one: float, other: float) -> float:
        return math.sqrt(max(one * one - 2 * phi * one * other + other * other, 0.0))

    difference = after - before
    return Interval(
        max(-1.0, difference - reach(after - wilson_after.low, wilson_before.high - before)),
        min(1.0, difference + reach(wilson_after.high - after, before - wilson_before.low)),
    )


def pass_at_k(attempts: int, correct: int, k: int) -> float:
    """Chance that at least one of `k` attempts is right, from `correct` of `attempts`; unbiased.

    Source: Chen et al. 2021, "Evaluating Large Language Models Trained on Code", equation 1.

    Raises:
        ValueError: not 0 <= correct <= attempts, or not 1 <= k <= attempts.
    """
    if not 0 <= correct <= attempts or not 1 <= k <= attempts:
        raise ValueError(
            f"expected 0 <= correct <= attempts and 1 <= k <= attempts, got correct={correct!r}, "
            f"attempts={attempts!r}, k={k!r}; draw at least k attempts"
        )
    return 1 - math.comb(attempts - correct, k) / math.comb(attempts, k)


def result_digest(rows: Iterable[Sequence[object]]) -> str:
    """A short text that two results share if they hold the same bag of rows, columns in the same order.

    `1` and `1.0` are the same value, as in SQL. For `majority_vote`, without keeping results.
    """
    lines = sorted("\x1f".join(map(_canonical, row)) for row in rows)
    return hashlib.blake2b("\x1e".join(lines).encode(errors="surrogatepass"), digest_size=16).hexdigest()


def _canonical(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return f"{type(value).__name__}:{value!r}"


def majority_vote(digests: Sequence[str | None]) -> int | None:
    """Which of several attempts to answer with: the first of the most frequent digest.

    None marks an attempt without a result and has no vote; a tie goes to the digest seen first. Returns the position,
    or None if no attempt has a result. (Self-consistency over execution results, as in DAIL-SQL, Gao et al. 2023.)
    """
    votes = Counter(digest for digest in digests if digest is not None)
    if not votes:
        return None
    return digests.index(votes.most_common(1)[0][0])  # most_common keeps first-seen order among equals


def _normal_quantile(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise ValueError(f"expected a confidence between 0 and 1, got {confidence!r}; 0.95 is usual")
    from statistics import NormalDist  # half of the time that importing this package would take

    return NormalDist().inv_cdf((1 + confidence) / 2)
