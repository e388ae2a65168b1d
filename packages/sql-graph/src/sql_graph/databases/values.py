"""A few values of each text column, so that a model spells them as the database does.

Values come from the first rows of a table, within limits and under the same guards as a model's queries.
A table whose values cannot be read has none; that is never an error.
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from sql_graph.databases.base import Fault
from sql_graph.databases.limits import DatabaseLimits

if TYPE_CHECKING:
    from sql_graph.databases.base import Backend
    from sql_graph.databases.schema import Schema, Table

SAMPLED_ROWS = 200
KEPT_VALUES = 40
"""Distinct values kept of each column: the linker looks for them in questions; far fewer are shown."""
KEPT_CHARS = 60
TOTAL_S = 30.0
"""Bounds the time on a slow server with very many tables; which tables have values then depends on its speed."""
_LIMITS = DatabaseLimits(deadline_s=1.0, max_rows=SAMPLED_ROWS, max_bytes=2_000_000)
_log = logging.getLogger(__name__)


def with_values(backend: Backend, schema: Schema) -> Schema:
    """The schema with values in its text columns; tables read after `TOTAL_S` seconds have none."""
    ends_at = time.monotonic() + TOTAL_S
    return replace(schema, tables=tuple(_with_values(backend, schema, table, ends_at) for table in schema.tables))


def _with_values(backend: Backend, schema: Schema, table: Table, ends_at: float) -> Table:
    if time.monotonic() > ends_at:
        return table
    values = _values(backend, schema, table)
    return replace(table, columns=tuple(replace(c, values=values.get(c.name, ())) for c in table.columns))


def _values(backend: Backend, schema: Schema, table: Table) -> dict[str, tuple[str, ...]]:
    """Distinct text values of each text column that has any, in order of appearance."""
    columns = [column.name for column in table.columns if column.is_text]
    if not columns:
        return {}
    query = backend.sampling_query(
        schema.spell(table.name), [schema.spell(name) for name in columns], rows=SAMPLED_ROWS
    )
    fetched = backend.fetch(query, limits=_LIMITS)
    if isinstance(fetched, Fault):
        _log.info("no sample values for table %r: %s", table.name, fetched.message)
        return {}
    found: dict[str, dict[str, None]] = {name: {} for name in columns}
    for row in fetched.rows:
        for name, value in zip(columns, row, strict=True):
            if isinstance(value, str) and value.strip() and len(found[name]) < KEPT_VALUES:
                found[name][value[:KEPT_CHARS]] = None
    return {name: tuple(values) for name, values in found.items() if values}
