"""How much a suite is worth: the share of wrong queries that it tells from right ones; and choosing for that.

A mutant of a gold counts as non-equivalent when at least one database of a large pool refutes it: the main file, all
candidate variants and further variants that are never chosen (the yardstick). The worth of a suite is the
number it refutes itself over that. A mutant that no database of the pool refutes may be equivalent or just hard; it is
not counted, and the pool's size stands beside the figure.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from spider_data.mutants import MutantKind, mutants
from spider_data.suite.golds import Resolver
from spider_data.suite.runner import Answer, Runner, Stop
from spider_data.suite.variant import Recipe

MAIN_STEPS = 3_000_000
MAIN_TOTAL_STEPS = 300_000_000
VARIANT_STEPS = 2_000_000
_DEPTH_WEIGHTS = (1.0, 0.35, 0.15, 0.05)
"""What it is worth that one more chosen variant refutes a mutant which 0, 1, 2, 3 of them refute already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One gold with its mutants, as indices into the list of all mutants."""

    gold: str
    ordered: bool
    first: int
    mutants: tuple[str, ...]


@dataclass(kw_only=True)
class Trials:
    """All golds of a database that run on its main file, with the mutants that do."""

    items: list[Trial] = field(default_factory=list[Trial])
    kinds: list[MutantKind] = field(default_factory=list[MutantKind])
    refuted_by_main: int = 0
    """Bit i is set when the main file refutes mutant i."""
    broken: list[str] = field(default_factory=list[str])
    """Golds that do not run on the main file."""


def prepare(recipe: Recipe, golds: Iterable[str], main: sqlite3.Connection) -> Trials:
    """Make the mutants of every gold, drop those that do not run, and try the rest on the main file."""
    trials = Trials()
    resolver = Resolver(recipe.schema)
    runner = Runner(main, max_steps=MAIN_STEPS)

    def other_values(table: str, column: str) -> Sequence[object]:
        return recipe.columns[table, column].own[:8]

    for gold in dict.fromkeys(golds):
        answer = runner.gold(gold)
        if answer is Stop.ERROR:
            trials.broken.append(gold)
            continue
        ordered = is_ordered(gold, resolver)
        kept: list[str] = []
        first = len(trials.kinds)
        for mutant in mutants(gold, resolver, other_values):  # pyright: ignore[reportArgumentType]
            refuted: bool | Stop = Stop.TOO_LONG
            if isinstance(answer, Answer) and runner.spent < MAIN_TOTAL_STEPS:
                refuted = runner.refutes(answer, mutant.sql, ordered=ordered)
            if refuted is Stop.ERROR:
                continue
            trials.refuted_by_main |= (refuted is True) << len(trials.kinds)
            trials.kinds.append(mutant.kind)
            kept.append(mutant.sql)
        trials.items.append(Trial(gold=gold, ordered=ordered, first=first, mutants=tuple(kept)))
    return trials


def is_ordered(gold: str, resolver: Resolver) -> bool:
    """Whether a query has ORDER BY at its top, so that the sequence of its rows is part of the answer."""
    if "order" not in gold.lower():
        return False
    tree = resolver.tree(gold)
    return tree is not None and tree.args.get("order") is not None


def refutations(trials: Trials, connection: sqlite3.Connection, *, untried: int) -> int:
    """The mutants among `untried` (a bit set) that this database refutes, as a bit set."""
    runner = Runner(connection, max_steps=VARIANT_STEPS)
    found = 0
    for trial in trials.items:
        wanted = [i for i in range(len(trial.mutants)) if untried >> (trial.first + i) & 1]
        if not wanted:
            continue
        answer = runner.gold(trial.gold)
        if isinstance(answer, Stop):
            continue
        for i in wanted:
            if runner.refutes(answer, trial.mutants[i], ordered=trial.ordered) is True:
                found |= 1 << (trial.first + i)
    return found


def choose(refuted: Sequence[int], count: int, *, must: Sequence[bool]) -> list[int]:
    """Pick `count` variants that together refute most, in the order picked; greedy set cover with depth.

    `refuted[j]` is the bit set of variant j. If any variant is marked in `must`, at least one of them is picked.
    """
    levels = [0] * len(_DEPTH_WEIGHTS)  # levels[d]: mutants refuted more than d times by the chosen
    chosen: list[int] = []
    while len(chosen) < min(count, len(refuted)):
        last = len(chosen) == min(count, len(refuted)) - 1
        free = [j for j in range(len(refuted)) if j not in chosen]
        if last and any(must) and not any(must[j] for j in chosen):
            free = [j for j in free if must[j]]

        def gain(j: int, levels: list[int] = levels) -> float:
            total, below = 0.0, refuted[j]
            for weight, level in zip(_DEPTH_WEIGHTS, levels, strict=True):
                total += weight * (below & ~level).bit_count()
                below &= level
            return total

        best = max(free, key=lambda j: (gain(j), -j))
        chosen.append(best)
        carry = refuted[best]
        for depth in range(len(levels)):
            levels[depth], carry = levels[depth] | carry, levels[depth] & carry
    return chosen


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """What a suite refutes, of what can be refuted by the whole pool."""

    mutants: int
    non_equivalent: int
    refuted: int
    refuted_by_main: int
    pool: int
    """Databases that decided what is non-equivalent."""
    by_kind: dict[str, tuple[int, int]]
    """Kind to (refuted, non-equivalent)."""

    @property
    def share(self) -> float:
        """Refuted over non-equivalent; 1 when there is nothing to refute."""
        return self.refuted / self.non_equivalent if self.non_equivalent else 1.0


def power(trials: Trials, *, suite: int, everything: int, pool: int) -> Power:
    """Count two bit sets: refuted by the suite, refuted by any database of the pool."""
    kinds_all = Counter(str(kind) for i, kind in enumerate(trials.kinds) if everything >> i & 1)
    kinds_suite = Counter(str(kind) for i, kind in enumerate(trials.kinds) if suite >> i & 1)
    return Power(
        mutants=len(trials.kinds),
        non_equivalent=everything.bit_count(),
        refuted=suite.bit_count(),
        refuted_by_main=trials.refuted_by_main.bit_count(),
        pool=pool,
        by_kind={kind: (kinds_suite[kind], count) for kind, count in sorted(kinds_all.items())},
    )
