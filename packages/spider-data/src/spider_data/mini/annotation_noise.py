"""Make wrong demonstrations that run, as annotators with systematic mistakes write them.

Real text-to-SQL training data contains systematic mistakes. For warm starts that imitate this, each pattern family in
`HABITS` has one documented mistake. The wrong query runs and gives another answer on the main database. The benchmark's
own gold queries never contain these mistakes.
"""

from __future__ import annotations

import random
import sqlite3
from dataclasses import dataclass
from functools import cache

from spider_data.mini.benchmark import pattern_of
from spider_data.mini.schema import load_databases
from spider_data.task import SpiderTask


@dataclass(frozen=True, slots=True, kw_only=True)
class Habit:
    """A systematic mistake: the first occurrence of `right` in a gold query is written as `wrong`."""

    right: str
    wrong: str
    mistake: str


HABITS = {
    "list_below": Habit(right=" < ", wrong=" > ", mistake="reads 'below' as 'above'"),
    "distinct_values": Habit(right="DISTINCT ", wrong="", mistake="forgets DISTINCT"),
    "count_distinct": Habit(right="DISTINCT ", wrong="", mistake="counts rows, not different values"),
    "last_by": Habit(right=" ASC ", wrong=" DESC ", mistake="sorts the wrong way for the lowest"),
    "first_few_by": Habit(right=" DESC ", wrong=" ASC ", mistake="sorts the wrong way for the top few"),
    "minimum": Habit(right="MIN(", wrong="MAX(", mistake="takes the largest for the smallest"),
    "total": Habit(right="SUM(", wrong="AVG(", mistake="averages instead of adding"),
    "average_where": Habit(right="AVG(", wrong="SUM(", mistake="adds instead of averaging"),
    "count_above": Habit(right="COUNT(*)", wrong="*", mistake="lists the rows instead of counting them"),
    "count_of_parent": Habit(right="COUNT(*)", wrong="*", mistake="lists the rows instead of counting them"),
    "groups_above": Habit(right="COUNT(*) > ", wrong="COUNT(*) = ", mistake="reads 'more than' as 'exactly'"),
    "both_conditions": Habit(right=" AND ", wrong=" OR ", mistake="joins two conditions with OR"),
    "parent_with_most": Habit(right=" DESC ", wrong=" ASC ", mistake="sorts the wrong way for the most"),
    "above_average_where": Habit(right=" AND ", wrong=" OR ", mistake="joins two conditions with OR"),
    "groups_by_average": Habit(right="COUNT(*) > ", wrong="COUNT(*) = ", mistake="reads 'more than' as 'exactly'"),
    "childless_with_value": Habit(right=" NOT IN ", wrong=" IN ", mistake="drops the negation"),
    "without_children": Habit(right=" NOT IN ", wrong=" IN ", mistake="drops the negation"),
}
"""One mistake for each pattern family; about half of the questions of every split belong to these families."""


def noisy_demonstration(task: SpiderTask, rng: random.Random, *, rate: float = 1.0) -> str | None:
    """The wrong query of an annotator who makes the mistake of this task's family, or None.

    None when the family has no mistake, when the drawn number says that this query is right (with probability 1 -
    `rate`), or when the mistake would not change the answer. For a task of a family with a mistake, it draws from `rng`
    exactly once.

    Raises:
        ValueError: the task does not belong to the mini benchmark.
    """
    habit = HABITS.get(pattern_of(task.task_id))
    if habit is None or rng.random() >= rate:
        return None
    wrong = task.query.replace(habit.right, habit.wrong, 1)
    connection = _content(task.db_id)
    if wrong == task.query or _answer(connection, wrong) == _answer(connection, task.query):
        return None
    return wrong


@cache
def _content(db_id: str) -> sqlite3.Connection:
    database = next((database for database in load_databases() if database.db_id == db_id), None)
    if database is None:
        raise ValueError(f"db_id {db_id!r} is not of the mini benchmark; noise is defined for its tasks only")
    connection = sqlite3.connect(":memory:", check_same_thread=False)
    database.fill(connection)
    return connection


def _answer(connection: sqlite3.Connection, query: str) -> list[tuple[object, ...]]:
    return sorted(connection.execute(query).fetchall(), key=repr)
