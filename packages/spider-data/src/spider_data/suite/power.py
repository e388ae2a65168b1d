"""Measure a suite by the share of wrong queries that it refutes, and choose variants for a high share.

A mutant of a gold query counts as non-equivalent when at least one database of a large pool refutes it. The pool is the
main file, all candidate variants, and further variants that are never chosen. The power of a suite is the number of
mutants that it refutes, divided by the number of non-equivalent mutants. A mutant that no database of the pool refutes
may be equivalent or only hard; it is not counted, and the size of the pool is part of the figures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from spider_data.suite.trials import Trials

_DEPTH_WEIGHTS = (1.0, 0.35, 0.15, 0.05)
"""The value of one more chosen variant that refutes a mutant, when 0, 1, 2, 3 chosen variants already refute it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """The mutants that a suite refutes, among those that the whole pool refutes."""

    mutants: int
    non_equivalent: int
    refuted: int
    refuted_by_main: int
    pool: int
    """Number of databases in the pool."""
    by_kind: dict[str, tuple[int, int]]
    """Maps a kind of mutant to (refuted, non-equivalent)."""

    @property
    def share(self) -> float:
        """Refuted divided by non-equivalent; 1 when there is nothing to refute."""
        return self.refuted / self.non_equivalent if self.non_equivalent else 1.0

    def __add__(self, other: Power) -> Power:
        """The figures of two databases together; `pool` is that of the smaller one."""
        kinds = sorted({*self.by_kind, *other.by_kind})
        pairs = {kind: (self.by_kind.get(kind, (0, 0)), other.by_kind.get(kind, (0, 0))) for kind in kinds}
        return Power(
            mutants=self.mutants + other.mutants,
            non_equivalent=self.non_equivalent + other.non_equivalent,
            refuted=self.refuted + other.refuted,
            refuted_by_main=self.refuted_by_main + other.refuted_by_main,
            pool=min(self.pool, other.pool),
            by_kind={kind: (a[0] + b[0], a[1] + b[1]) for kind, (a, b) in pairs.items()},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """The results of trying all mutants, from which the figures of any gold queries can be counted."""

    trials: Trials
    suite: int
    """Mutants that the main file or a chosen variant refutes."""
    everything: int
    """Mutants that any database of the pool refutes."""
    pool: int

    def power(self, golds: Collection[str] | None = None) -> Power:
        """The figures for these gold queries, or for all."""
        items = [trial for trial in self.trials.items if golds is None or trial.gold in golds]
        mask = sum(((1 << len(trial.mutants)) - 1) << trial.first for trial in items)
        everything, suite = self.everything & mask, self.suite & mask
        kinds = Counter(str(kind) for i, kind in enumerate(self.trials.kinds) if everything >> i & 1)
        refuted = Counter(str(kind) for i, kind in enumerate(self.trials.kinds) if suite >> i & 1)
        return Power(
            mutants=mask.bit_count(),
            non_equivalent=everything.bit_count(),
            refuted=suite.bit_count(),
            refuted_by_main=(self.trials.refuted_by_main & mask).bit_count(),
            pool=self.pool,
            by_kind={kind: (refuted[kind], count) for kind, count in sorted(kinds.items())},
        )


def choose(
    refuted: Sequence[int], count: int, *, must: Sequence[bool], ties: Sequence[int], tie_cost: float
) -> list[int]:
    """Choose `count` variants that together refute most, in the order of choice: greedy set cover with depth.

    `refuted[j]` is the bit set of variant j. `ties[j]` is the number of gold queries whose answer it leaves open; each
    costs as much as `tie_cost` mutants. If `must` marks any variant, at least one marked variant is chosen.
    """
    levels = [0] * len(_DEPTH_WEIGHTS)  # levels[d]: mutants that more than d chosen variants refute
    chosen: list[int] = []

    def gain(j: int) -> float:
        total, below = -tie_cost * ties[j], refuted[j]
        for weight, level in zip(_DEPTH_WEIGHTS, levels, strict=True):
            total += weight * (below & ~level).bit_count()
            below &= level
        return total

    wanted = min(count, len(refuted))
    while len(chosen) < wanted:
        free = [j for j in range(len(refuted)) if j not in chosen]
        if len(chosen) == wanted - 1 and any(must) and not any(must[j] for j in chosen):
            free = [j for j in free if must[j]]
        best = max(free, key=lambda j: (gain(j), -j))
        chosen.append(best)
        carry = refuted[best]
        for depth in range(len(levels)):
            levels[depth], carry = levels[depth] | carry, levels[depth] & carry
    return chosen
