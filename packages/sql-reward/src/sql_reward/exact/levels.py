"""How hard a gold query is: easy, medium, hard or extra, by Spider's official counting.

The official counting has two mistakes. Published figures depend on them, so this module repeats them: a negated
condition of WHERE or HAVING counts as an aggregate, and so does every AND or OR inside HAVING.
"""

from collections.abc import Iterable
from enum import StrEnum

from sql_reward.exact.parser import parse_query
from sql_reward.exact.schema import Schema
from sql_reward.exact.tree import Column, Condition, Connector, Query, conditions_of, connectors_of


class Hardness(StrEnum):
    """Spider's four levels, in order."""

    EASY = "easy"
    MEDIUM = "medium"
    HARD = "hard"
    EXTRA = "extra"


def hardness(sql: str, schema: Schema) -> Hardness:
    """The level of a query.

    Raises:
        UnparsableSqlError: the official grammar cannot read `sql`.
    """
    return hardness_of(parse_query(sql, schema))


def hardness_of(query: Query) -> Hardness:
    """The level of a parsed query."""
    basic, nested, other = _basic_parts(query), _nested_queries(query), _repeated_parts(query)
    if nested == 0:
        if basic <= 1 and other == 0:
            return Hardness.EASY
        if (basic <= 1 and other <= 2) or (basic <= 2 and other < 2):
            return Hardness.MEDIUM
        if (basic <= 2 and other > 2) or (basic == 3 and other <= 2):
            return Hardness.HARD
    elif nested == 1 and basic <= 1 and other == 0:
        return Hardness.HARD
    return Hardness.EXTRA


def _basic_parts(query: Query) -> int:
    """Clauses, joins, ORs and LIKEs."""
    parts = (query.joins, query.where, query.having)
    clauses = sum(map(bool, (query.where, query.group, query.order, query.limited)))
    joins = max(len(query.sources) - 1, 0)
    ors = sum(connectors_of(part).count(Connector.OR) for part in parts)
    likes = sum(condition.operator == "like" for part in parts for condition in conditions_of(part))
    return clauses + joins + ors + likes


def _nested_queries(query: Query) -> int:
    """Subqueries in conditions, and the other side of a set operation. Subqueries in FROM do not count."""
    conditions = [item for part in (query.joins, query.where, query.having) for item in conditions_of(part)]
    in_conditions = sum(isinstance(value, Query) for item in conditions for value in (item.value, item.upper))
    return in_conditions + (query.other is not None)


def _repeated_parts(query: Query) -> int:
    """How many of these kinds occur more than once: aggregates, selected items, conditions, grouped columns.

    WHERE counts its connectors too, so two conditions count as three.
    """
    keys = query.order.keys if query.order else ()
    ordered = [column for key in keys for column in (key.left, key.right) if column]
    aggregates = (
        sum(item.aggregate != "none" for item in query.select)
        + _count_as_aggregates(conditions_of(query.where))
        + _count_as_aggregates(query.group)
        + _count_as_aggregates(ordered)
        + _count_as_aggregates(query.having)
    )
    return sum(count > 1 for count in (aggregates, len(query.select), len(query.where), len(query.group)))


def _count_as_aggregates(items: Iterable[Column | Condition | Connector]) -> int:
    return sum(
        item.aggregate != "none" if isinstance(item, Column) else isinstance(item, Connector) or item.negated
        for item in items
    )
