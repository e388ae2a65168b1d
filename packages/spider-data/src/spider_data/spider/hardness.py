"""Spider's hardness level from a parsed query, by the rules of its official evaluator.

It reads the `sql` dict that Spider's JSON files hold beside each query, so it needs no parser. The
evaluator's quirks are kept, because the published counts depend on them: a negated condition counts as an
aggregate, and so does every `and` or `or` in HAVING (taoyds/test-suite-sql-eval, `Evaluator.eval_hardness`).
On Spider's dev set it gives the published 248 easy, 446 medium, 174 hard and 166 extra.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spider_data.task import Hardness

_LIKE = 9
"""Position of LIKE among the condition operators of Spider's parsed form."""


def hardness_of(parsed: Mapping[str, Any]) -> Hardness:
    """The level of a parsed query; UNKNOWN when the dict does not have Spider's form."""
    try:
        clauses, nested, others = _clauses(parsed), _nested(parsed), _others(parsed)
    except (KeyError, IndexError, TypeError):
        return Hardness.UNKNOWN
    if clauses <= 1 and others == 0 and nested == 0:
        return Hardness.EASY
    if nested == 0 and ((others <= 2 and clauses <= 1) or (clauses <= 2 and others < 2)):
        return Hardness.MEDIUM
    if (nested == 0 and ((others > 2 and clauses <= 2) or (clauses == 3 and others <= 2))) or (
        nested <= 1 and clauses <= 1 and others == 0
    ):
        return Hardness.HARD
    return Hardness.EXTRA


def _clauses(parsed: Mapping[str, Any]) -> int:
    """WHERE, GROUP BY, ORDER BY, LIMIT, each further table, each OR and each LIKE."""
    lists = _condition_lists(parsed)
    return (
        sum(bool(parsed[name]) for name in ("where", "groupBy", "orderBy"))
        + (parsed["limit"] is not None)
        + max(0, len(parsed["from"]["table_units"]) - 1)
        + sum(word == "or" for conditions in lists for word in conditions[1::2])
        + sum(condition[1] == _LIKE for conditions in lists for condition in conditions[::2])
    )


def _nested(parsed: Mapping[str, Any]) -> int:
    """Subqueries in conditions, and set operations. A subquery in FROM does not count."""
    conditions = [condition for conditions in _condition_lists(parsed) for condition in conditions[::2]]
    return sum(isinstance(condition[i], dict) for condition in conditions for i in (3, 4)) + sum(
        parsed[name] is not None for name in ("intersect", "except", "union")
    )


def _others(parsed: Mapping[str, Any]) -> int:
    """One each for: several aggregates, several columns, several conditions, several group keys."""
    columns = parsed["select"][1]
    units = [*columns, *parsed["where"][::2], *parsed["groupBy"], *parsed["having"]]
    if parsed["orderBy"]:
        units += [column for unit in parsed["orderBy"][1] for column in unit[1:3] if column]
    aggregates = sum(bool(unit[0]) for unit in units)
    return (aggregates > 1) + (len(columns) > 1) + (len(parsed["where"]) > 1) + (len(parsed["groupBy"]) > 1)


def _condition_lists(parsed: Mapping[str, Any]) -> tuple[list[Any], ...]:
    """Conditions alternate with the words that join them."""
    return parsed["from"]["conds"], parsed["where"], parsed["having"]
