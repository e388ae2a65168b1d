"""Run the gold queries of one database and their mutants on one database file after another.

Results are bit sets over all mutants of all gold queries: bit i stands for mutant i.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from spider_data.suite.mutants import MutantKind, mutants
from spider_data.suite.recipe import Recipe
from spider_data.suite.runner import Answer, Runner, Stop
from spider_data.suite.schema import Scalar
from spider_data.suite.ties import TieProbe, is_tied, tie_probe

MAIN_STEPS = 3_000_000
"""SQLite steps that one statement may take on the main file, about a tenth of a second."""
MAIN_TOTAL_STEPS = 300_000_000
"""Steps for all statements on the main file; later mutants count as not refuted by it."""
VARIANT_STEPS = 2_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One gold query with its mutants."""

    gold: str
    ordered: bool
    """Whether a top-level ORDER BY makes the sequence of the rows part of the answer."""
    first: int
    """The bit of its first mutant."""
    mutants: tuple[str, ...]
    probe: TieProbe | None


@dataclass(kw_only=True)
class Trials:
    """All gold queries of a database that run on its main file, with their mutants that run there."""

    items: list[Trial] = field(default_factory=list[Trial])
    kinds: list[MutantKind] = field(default_factory=list[MutantKind])
    refuted_by_main: int = 0
    tied_on_main: set[str] = field(default_factory=set[str])
    broken: list[str] = field(default_factory=list[str])
    """Gold queries that do not run on the main file."""


def prepare(recipe: Recipe, golds: Iterable[str], main: sqlite3.Connection) -> Trials:
    """Make the mutants of every gold query, drop those that do not run, and try the rest on the main file."""
    trials = Trials()
    runner = Runner(main, max_steps=MAIN_STEPS)

    def other_values(table: str, column: str) -> Sequence[Scalar]:
        return recipe.columns[table, column].own[:8]

    for gold in dict.fromkeys(golds):
        answer = runner.gold(gold)
        if answer is Stop.ERROR:
            trials.broken.append(gold)
            continue
        tree = recipe.resolver.tree(gold)
        ordered = tree is not None and tree.args.get("order") is not None
        kept: list[str] = []
        first = len(trials.kinds)
        for mutant in mutants(gold, recipe.resolver, other_values):
            refuted: bool | Stop = Stop.TOO_LONG
            if isinstance(answer, Answer) and runner.spent < MAIN_TOTAL_STEPS:
                refuted = runner.refutes(answer, mutant.sql, ordered=ordered)
            if refuted is Stop.ERROR:
                continue
            trials.refuted_by_main |= (refuted is True) << len(trials.kinds)
            trials.kinds.append(mutant.kind)
            kept.append(mutant.sql)
        trial = Trial(gold=gold, ordered=ordered, first=first, mutants=tuple(kept), probe=tie_probe(tree))
        if is_tied(main, trial.probe):
            trials.tied_on_main.add(gold)
        trials.items.append(trial)
    return trials


def tied_golds(trials: Trials, connection: sqlite3.Connection) -> set[str]:
    """The gold queries whose answer on this database depends on the order of equal rows."""
    return {trial.gold for trial in trials.items if is_tied(connection, trial.probe)}


def refutations(trials: Trials, variant: sqlite3.Connection, *, untried: int) -> int:
    """The mutants among `untried` that this variant refutes.

    Raises:
        GoldStoppedError: a gold query that ran on the main file fails here.
    """
    runner = Runner(variant, max_steps=VARIANT_STEPS)
    found = 0
    for trial in trials.items:
        answer = runner.gold(trial.gold)
        if answer is Stop.ERROR:
            raise GoldStoppedError(trial.gold)
        if isinstance(answer, Stop):
            continue
        for place, mutant in enumerate(trial.mutants, start=trial.first):
            if untried >> place & 1 and runner.refutes(answer, mutant, ordered=trial.ordered) is True:
                found |= 1 << place
    return found


class GoldStoppedError(Exception):
    """A gold query that runs on the main file fails on a variant; the argument is the query."""
