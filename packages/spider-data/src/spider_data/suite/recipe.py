"""What all variants of one database share, and the profile that makes each of them different."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from spider_data.suite.golds import GoldFacts, Resolver, gather
from spider_data.suite.schema import SourceSchema
from spider_data.suite.values import ColumnFacts, column_facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The sizes and shares of one variant."""

    rows: tuple[int, int]
    """Fewest and most rows of a table, before the table's own size is considered."""
    pool: int
    """How many of its own values a column may take. Few values make duplicates, ties and groups; many make variety."""
    fresh: int
    keep_unique: bool
    """Whether columns without duplicates in the source stay without duplicates."""
    bundle_share: float
    """Share of the rows that are made to meet the conditions of a gold query."""
    active_share: float
    """Share of the parent rows to which children may refer; the others have no children."""
    empty_tables: int


def profile(rng: random.Random, number: int) -> Profile:
    """Profiles in turn: small, medium, few values, large. Every fifth variant has an empty table."""
    rows, pool = [((3, 9), 6), ((14, 30), 12), ((18, 40), 3), ((40, 90), 60)][number % 4]
    return Profile(
        rows=rows,
        pool=max(2, round(pool * rng.uniform(0.6, 1.5))),
        fresh=rng.randint(0, 3),
        keep_unique=rng.random() < 0.6,
        bundle_share=rng.uniform(0.2, 0.6),
        active_share=rng.uniform(0.4, 0.9),
        empty_tables=1 if number % 5 == 4 else 0,
    )


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything about a source that its variants share."""

    schema: SourceSchema
    resolver: Resolver
    golds: GoldFacts
    columns: dict[tuple[str, str], ColumnFacts]
    soft_links: dict[tuple[str, str], tuple[str, str]]
    """Columns that gold queries join without a declared key: the later column takes its values from the earlier one."""
    settled: bool
    """In every variant, a column by which gold queries sort has no duplicates if it has none in the source."""
    whole_rows: bool = False
    """Every row takes its cells from one row of the source, except its foreign keys."""

    def cautious(self, places: Collection[tuple[str, str]], *, whole_rows: bool = False) -> Recipe:
        """The same recipe, but the columns at `places` take only values that they have in the source."""
        columns = {
            place: replace(facts, constants=(), is_plain=True) if place in places else facts
            for place, facts in self.columns.items()
        }
        return replace(self, columns=columns, whole_rows=whole_rows)


def make_recipe(schema: SourceSchema, queries: Iterable[str], *, settled: bool = False) -> Recipe:
    """Collect the facts of these gold queries, the facts of columns, and the undeclared foreign keys."""
    resolver = Resolver(schema)
    golds = gather(resolver, queries)
    order = [table.name for table in schema.tables]
    declared = {
        frozenset(((table.name, column), (key.parent, target)))
        for table in schema.tables
        for key in table.foreign_keys
        for column, target in zip(key.columns, key.parent_columns, strict=True)
    }
    owned = {(table.name, column) for table in schema.tables for key in table.foreign_keys for column in key.columns}
    soft: dict[tuple[str, str], tuple[str, str]] = {}
    for pair in sorted(map(sorted, golds.joins - declared)):
        parent, child = sorted(pair, key=lambda place: (order.index(place[0]), place))
        if parent[0] != child[0] and child not in owned:
            soft.setdefault(child, parent)
    linked = [*declared, *(frozenset(pair) for pair in soft.items())]
    columns: dict[tuple[str, str], ColumnFacts] = {}
    for table in schema.tables:
        for column in table.columns:
            place = (table.name, column.name)
            near = [place, *(other for pair in linked if place in pair for other in pair if other != place)]
            columns[place] = column_facts(
                values=table.values(column.name),
                constants=[value for other in near for value in golds.constants.get(other, ())],
                patterns=golds.patterns.get(place, []),
                is_unique=(column.name,) in table.unique,
                not_null=column.not_null,
                declared=column.type,
            )
    return Recipe(schema=schema, resolver=resolver, golds=golds, columns=columns, soft_links=soft, settled=settled)
