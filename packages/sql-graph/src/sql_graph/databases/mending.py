"""Set a column's qualifier right where the database's complaint and the schema leave one choice.

`SELECT T2.Name FROM singer AS T1 JOIN concert AS T2 …`: when T2 has no such column and exactly one other table of the
query has it, that one is meant. Small models confuse aliases so often that asking again costs more than it gains.
Nothing else of a query is touched.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from sql_graph.databases.complaints import Unknown, complaint_in
from sql_graph.databases.mentions import tables_in
from sql_graph.ports import Observation, ObservationStatus

if TYPE_CHECKING:
    from sql_graph.databases.schema import Schema

MAX_MENDS = 4
"""Wrong qualifiers of one query that are set right."""


def mended(schema: Schema, sql: str, observation: Observation, run: Callable[[str], Observation]) -> str | None:
    """A query that runs and differs from `sql` in qualifiers alone; None where there is none.

    `observation` is what `sql` gave; `run` tries each mended query.
    """
    tried = sql
    for _ in range(MAX_MENDS):
        other = _once(schema, tried, observation)
        if other is None:
            return None
        tried, observation = other, run(other)
        if observation.ran:
            return tried
    return None


def _once(schema: Schema, sql: str, observation: Observation) -> str | None:
    """The query with the qualifier of which the database complains set right; None where that is not certain."""
    complaint = complaint_in(observation.text) if observation.status is ObservationStatus.ERROR else None
    if complaint is None or complaint.kind is not Unknown.COLUMN or not complaint.owner:
        return None
    column = complaint.name.lower()
    having = {t.name.lower() for t in schema.tables if any(c.name.lower() == column for c in t.columns)}
    aliases = [alias for alias, table in tables_in(sql).items() if table.lower() in having]
    if len(aliases) != 1 or aliases[0] == complaint.owner.lower() or not aliases[0].isidentifier():
        return None
    wrong = re.compile(rf"(?<![\w.\"'`\]]){re.escape(complaint.owner)}\s*\.\s*(?={re.escape(complaint.name)}\b)", re.I)
    spelled = re.search(rf"\b{aliases[0]}\b", sql, re.I)
    return wrong.sub(f"{spelled.group() if spelled else aliases[0]}.", sql)
