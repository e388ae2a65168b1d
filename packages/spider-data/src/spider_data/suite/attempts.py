"""Make variants on which every gold query runs, with as much variety as the gold queries allow.

A gold query may fail on values that its column never has: `json_extract` on a text that is not JSON, a sum beyond 64
bits. The columns that such a query reads then keep the values of the source, in this and in all later variants.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field

from sqlglot import exp

from spider_data.suite.golds import Place
from spider_data.suite.recipe import Recipe
from spider_data.suite.trials import GoldStoppedError, Trials, refutations
from spider_data.suite.variant import make_variant

_ROUNDS = 6
"""Attempts at one variant; each failed attempt adds the columns of one gold query to the cautious ones."""


@dataclass(kw_only=True)
class Attempts:
    """Makes the variants of one database, and remembers the columns that must keep values of the source."""

    recipe: Recipe
    trials: Trials
    label: str
    """With its number, the seed of each variant."""
    cautious: set[Place] = field(default_factory=set[Place])

    def variant(self, number: int, untried: int) -> tuple[sqlite3.Connection, int]:
        """Make a variant on which every gold query runs; return it and the mutants among `untried` that it refutes.

        Raises:
            GoldStoppedError: a gold query fails although every row comes from the source.
        """
        for _ in range(_ROUNDS):
            recipe = self.recipe.cautious(self.cautious) if self.cautious else self.recipe
            try:
                return self._try(recipe, number, untried)
            except GoldStoppedError as stopped:
                places = self._places(str(stopped))
                if places <= self.cautious:
                    break
                self.cautious |= places
        return self._try(self.recipe.cautious(self.recipe.columns, whole_rows=True), number, untried)

    def _try(self, recipe: Recipe, number: int, untried: int) -> tuple[sqlite3.Connection, int]:
        variant = make_variant(recipe, seed=self.label, number=number)
        try:
            return variant, refutations(self.trials, variant, untried=untried)
        except BaseException:
            variant.close()
            raise

    def _places(self, gold: str) -> set[Place]:
        """The columns that a gold query names; all columns when it cannot be parsed."""
        tree = self.recipe.resolver.tree(gold)
        if tree is None:
            return set(self.recipe.columns)
        found = {self.recipe.resolver.place(column) for column in tree.find_all(exp.Column)}
        return {place for place in found if place is not None}
