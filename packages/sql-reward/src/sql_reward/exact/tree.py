"""The parts of a query as Spider's exact match sees them: frozen, hashable, without positions.

The metric ignores everything else: aliases, the order of ON conditions, the value of LIMIT. Columns are named
`table.column` in lower case, and `*` for all columns.
"""

from dataclasses import dataclass
from enum import StrEnum


class Connector(StrEnum):
    """What joins two conditions. AND and OR have no precedence in this metric."""

    AND = "and"
    OR = "or"


@dataclass(frozen=True, slots=True)
class Column:
    """One column, perhaps inside one aggregate, perhaps DISTINCT."""

    aggregate: str
    """`none`, `max`, `min`, `count`, `sum` or `avg`."""
    name: str
    distinct: bool = False

    @property
    def bare_name(self) -> str:
        """The column without its table, which is all that GROUP BY is compared by."""
        return self.name.split(".")[1] if "." in self.name else self.name


@dataclass(frozen=True, slots=True)
class Expression:
    """One column, or two with `+ - * /` between them."""

    operator: str
    left: Column
    right: Column | None = None


@dataclass(frozen=True, slots=True)
class Selected:
    """One item of the SELECT list."""

    aggregate: str
    expression: Expression


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison. A value is a literal, a number, a column or a subquery."""

    negated: bool
    operator: str
    expression: Expression
    value: "Value"
    upper: "Value" = None
    """The second value of BETWEEN."""


@dataclass(frozen=True, slots=True)
class Ordering:
    """ORDER BY, with one direction for all its keys: the last one in the text."""

    direction: str
    keys: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Query:
    """A query with at most one set operation."""

    sources: "tuple[str | Query, ...]" = ()
    """Tables and subqueries of FROM, in order."""
    joins: "Conditions" = ()
    select: tuple[Selected, ...] = ()
    distinct: bool = False
    """Of the whole SELECT. Compared in subqueries only."""
    where: "Conditions" = ()
    group: tuple[Column, ...] = ()
    having: "Conditions" = ()
    order: Ordering | None = None
    limited: bool = False
    """Whether there is a LIMIT; its value does not count."""
    set_operator: str = ""
    """`intersect`, `union` or `except`; empty where there is none."""
    other: "Query | None" = None
    """The right-hand side of the set operation."""


Value = str | float | Column | Query | None
Conditions = tuple[Condition | Connector, ...]
"""Conditions at even places, connectors at odd ones, if the query joins all its conditions."""

EMPTY_QUERY = Query()
"""Takes the place of a prediction that does not parse: no part of it matches anything."""


def conditions_of(conditions: Conditions) -> list[Condition]:
    """The items at the even places."""
    return [item for item in conditions[::2] if isinstance(item, Condition)]


def connectors_of(conditions: Conditions) -> list[Condition | Connector]:
    """The items at the odd places: connectors, unless the query left one out."""
    return list(conditions[1::2])
