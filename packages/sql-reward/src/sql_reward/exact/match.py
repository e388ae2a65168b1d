"""Exact set match: does a prediction have the same parts as the gold query?

This module parses both queries, drops their values, replaces columns that foreign keys join by one of them, and
compares clause by clause. It executes nothing. The rules are those of Spider's official evaluator (Yu et al. 2018; the
versions that ship with the test suites of Zhong et al. 2020), the odd ones included: it ignores DISTINCT, ON conditions
and the value of LIMIT. Use it for reports, not as a reward: a right answer in other words does not match.
"""

from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace

from sql_reward.exact.parser import UnparsableSqlError, parse_query
from sql_reward.exact.schema import Schema
from sql_reward.exact.tree import (
    EMPTY_QUERY,
    Column,
    Condition,
    Conditions,
    Connector,
    Expression,
    Query,
    Value,
    conditions_of,
    connectors_of,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """How one clause of two queries compares. A clause is right as a whole or wrong as a whole."""

    predicted: int
    """How many items the prediction has here."""
    gold: int
    matched: int

    @property
    def correct(self) -> bool:
        return self.predicted == self.gold == self.matched


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactMatch:
    """What comparing the parts of two queries showed."""

    matched: bool
    """Every component is correct and FROM names the same tables and subqueries."""
    parsed: bool
    """Whether the grammar can read the prediction; if it cannot, the prediction counts as an empty query."""
    components: dict[str, Component]
    """By the names of the official report: `select`, `where(no OP)`, …, `keywords`."""


def exact_match(predicted: str | None, gold: str, schema: Schema) -> ExactMatch:
    """Compare a prediction with the gold query, part by part.

    Raises:
        UnparsableSqlError: the grammar cannot read the gold query. It reads all golds of Spider's dev split.
    """
    gold_query = parse_query(gold, schema)
    try:
        predicted_query, parsed = parse_query(predicted or "", schema), True
    except UnparsableSqlError:
        predicted_query, parsed = EMPTY_QUERY, False
    components, matched = compare_queries(comparable(predicted_query, schema), comparable(gold_query, schema))
    return ExactMatch(matched=matched, parsed=parsed, components=components)


def compare_queries(predicted: Query, gold: Query) -> tuple[dict[str, Component], bool]:
    """The ten components of two queries in their comparable form, and whether all of them and FROM agree."""
    p_where, g_where = conditions_of(predicted.where), conditions_of(gold.where)
    components = {
        "select": _common(predicted.select, gold.select),
        "select(no AGG)": _common(
            [item.expression for item in predicted.select], [item.expression for item in gold.select]
        ),
        "where": _common(p_where, g_where),
        "where(no OP)": _common([item.expression for item in p_where], [item.expression for item in g_where]),
        "group(no Having)": _common(
            [column.bare_name for column in predicted.group], [column.bare_name for column in gold.group]
        ),
        "group": _present(predicted.group, gold.group, same=_grouping(predicted) == _grouping(gold)),
        "order": _present(
            predicted.order,
            gold.order,
            same=predicted.order == gold.order and predicted.limited == gold.limited,
        ),
        "and/or": _connectors(predicted, gold),
        "IUEN": _present(predicted.other, gold.other, same=_same_set_operation(predicted, gold)),
        "keywords": _common(_keywords(predicted), _keywords(gold)),
    }
    same_sources = not gold.sources or Counter(predicted.sources) == Counter(gold.sources)
    return components, same_sources and all(component.correct for component in components.values())


def _common(predicted: Iterable[Hashable], gold: Iterable[Hashable]) -> Component:
    ours, theirs = Counter(predicted), Counter(gold)
    return Component(predicted=ours.total(), gold=theirs.total(), matched=(ours & theirs).total())


def _present(predicted: object, gold: object, *, same: bool) -> Component:
    """A clause that counts as one item if the query has it."""
    return Component(
        predicted=int(bool(predicted)), gold=int(bool(gold)), matched=int(bool(predicted) and bool(gold) and same)
    )


def _grouping(query: Query) -> tuple[list[str], Conditions]:
    return [column.name for column in query.group], query.having


def _connectors(predicted: Query, gold: Query) -> Component:
    """Which of AND and OR the WHERE clauses use, compared as sets. They count as one item if they agree."""
    ours, theirs = connectors_of(predicted.where), connectors_of(gold.where)
    if set(ours) == set(theirs):
        return Component(predicted=1, gold=1, matched=1)
    return Component(predicted=len(ours), gold=len(theirs), matched=0)


def _same_set_operation(predicted: Query, gold: Query) -> bool:
    if predicted.other is None or gold.other is None or predicted.set_operator != gold.set_operator:
        return False
    return compare_queries(predicted.other, gold.other)[1]


def _keywords(query: Query) -> set[str]:
    clauses = {
        "where": query.where,
        "group": query.group,
        "having": query.having,
        "order": query.order,
        "limit": query.limited,
    }
    found = {name for name, clause in clauses.items() if clause}
    if query.order:
        found.add(query.order.direction)
    if query.set_operator:
        found.add(query.set_operator)
    everywhere = (query.joins, query.where, query.having)
    if any(Connector.OR in connectors_of(part) for part in everywhere):
        found.add("or")
    conditions = [condition for part in everywhere for condition in conditions_of(part)]
    if any(condition.negated for condition in conditions):
        found.add("not")
    return found | {condition.operator for condition in conditions if condition.operator in ("in", "like")}


def comparable(query: Query, schema: Schema) -> Query:
    """A query without values and DISTINCT, with one column in the place of all that foreign keys join to it.

    Only columns of the tables in the outermost FROM are replaced. Subqueries in conditions lose their values
    but keep DISTINCT and their columns; subqueries in FROM are compared as they were written.
    """
    local = {column: group for column, group in schema.key_groups.items() if column.split(".")[0] in query.sources}
    return _with_groups(_without_values(query), local)


def _without_values(query: Query) -> Query:
    def forget(value: Value) -> Value:
        return _without_values(value) if isinstance(value, Query) else None

    def conditions(items: Conditions) -> Conditions:
        # The official evaluator looks at even places only: a condition at an odd place keeps its value.
        return tuple(
            replace(item, value=forget(item.value), upper=forget(item.upper))
            if place % 2 == 0 and isinstance(item, Condition)
            else item
            for place, item in enumerate(items)
        )

    return replace(
        query,
        joins=conditions(query.joins),
        where=conditions(query.where),
        having=conditions(query.having),
        other=query.other and _without_values(query.other),
    )


def _with_groups(query: Query, groups: dict[str, str]) -> Query:
    def column(unit: Column) -> Column:
        return Column(unit.aggregate, groups.get(unit.name, unit.name))

    def expression(unit: Expression) -> Expression:
        return Expression(unit.operator, column(unit.left), unit.right and column(unit.right))

    def conditions(items: Conditions) -> Conditions:
        return tuple(
            replace(item, expression=expression(item.expression))
            if place % 2 == 0 and isinstance(item, Condition)
            else item
            for place, item in enumerate(items)
        )

    return replace(
        query,
        joins=conditions(query.joins),
        distinct=False,
        select=tuple(replace(item, expression=expression(item.expression)) for item in query.select),
        where=conditions(query.where),
        group=tuple(map(column, query.group)),
        having=conditions(query.having),
        order=query.order and replace(query.order, keys=tuple(map(expression, query.order.keys))),
        other=query.other and _with_groups(query.other, groups),
    )
