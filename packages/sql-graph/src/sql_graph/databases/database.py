"""Any SQL database as the agent sees it: its schema as text, and one reading statement at a time.

`SqlDatabase` opens connections lazily, in each process that uses it, so it can be pickled, shared between threads
and used after a fork. The schema is read once per database and process.
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

from sqlalchemy.engine import URL

from sql_graph.agent.observe import observe
from sql_graph.agent.render import SchemaWriter
from sql_graph.agent.tokens import estimate_tokens
from sql_graph.databases import Backend, open_backend
from sql_graph.databases.files import PathLike
from sql_graph.databases.hints import Hints
from sql_graph.databases.limits import DatabaseLimits
from sql_graph.databases.mending import mended
from sql_graph.databases.schema import Schema
from sql_graph.databases.value_index import ValueIndex, build_value_index
from sql_graph.databases.values import with_values
from sql_graph.errors import EmptyDatabaseError
from sql_graph.notes import SHARE, Notes
from sql_graph.ports import Observation, ObservationStatus, SchemaStyle

if TYPE_CHECKING:
    from types import TracebackType

MAX_CACHED_SCHEMAS = 512
MAX_CACHED_INDEXES = 8
"""Value indexes kept; each may take tens of megabytes."""
_schemas: OrderedDict[object, SchemaWriter] = OrderedDict()
_indexes: OrderedDict[object, ValueIndex] = OrderedDict()
_schemas_lock = threading.Lock()
os.register_at_fork(after_in_child=lambda: globals().__setitem__("_schemas_lock", threading.Lock()))


class SqlDatabase:
    """A database for reading: a SQLAlchemy URL, or a path (DuckDB if it ends in .duckdb or .ddb, else SQLite).

    `notes` tell the model what the schema does not say; see `sql_graph.notes`.
    Nothing is opened until it is used. A file that does not exist is never created.

    Raises:
        UnknownDialectError: no dialect or driver for this URL is installed.
    """

    def __init__(
        self, url_or_path: PathLike | URL, *, limits: DatabaseLimits | None = None, notes: Notes | None = None
    ) -> None:
        self._address = url_or_path
        self._notes = notes
        self._limits = limits or DatabaseLimits()
        self._backend: Backend = open_backend(url_or_path, limits=self._limits)

    @property
    def dialect(self) -> str:
        """The SQL dialect as a model knows it, for example `SQLite` or `PostgreSQL`."""
        return self._backend.dialect

    @property
    def limits(self) -> DatabaseLimits:
        """The bounds of every query."""
        return self._limits

    @property
    def schema(self) -> Schema:
        """All tables, as read once per database and process.

        Raises:
            DatabaseError: the database is missing, cannot be used, or holds no table.
        """
        return self._writer().schema

    def schema_text(self, question: str, *, budget_tokens: int, style: SchemaStyle) -> str:
        """The schema within a budget, most relevant tables kept whole (see `sql_graph.agent.render`), then the notes.

        Raises:
            DatabaseError: the database is missing, cannot be used, or holds no table.
        """
        if self._notes is None:
            return self._writer().render(question, budget_tokens=budget_tokens, style=style)
        notes = self._notes.about(question, budget_tokens=int(budget_tokens * SHARE))
        room = budget_tokens - (estimate_tokens(notes) + 1 if notes else 0)
        schema = self._writer().render(question, budget_tokens=room, style=style)
        return f"{schema}\n{notes}" if notes else schema

    def run(self, sql: str) -> Observation:
        """Run one statement, read-only and within limits; whatever the query did wrong is in the observation.

        Raises:
            DatabaseError: the database is missing or cannot be used.
        """
        started = time.monotonic()
        outcome = self._backend.fetch(sql, limits=self._limits)
        return observe(outcome, limits=self._limits, seconds=time.monotonic() - started)

    def hints(self, sql: str, observation: Observation) -> tuple[str, ...]:
        """Facts that help to mend a query which gave `observation`; see `sql_graph.databases.hints`.

        Raises:
            DatabaseError: the database is missing or cannot be used.
        """
        if observation.status not in (ObservationStatus.ERROR, ObservationStatus.EMPTY):
            return ()
        return Hints(self.schema, self.value_index).about(sql, observation)

    def mended(self, sql: str, observation: Observation) -> str | None:
        """The query with confused qualifiers set right, where it then runs; see `sql_graph.databases.mending`.

        Raises:
            DatabaseError: the database is missing or cannot be used.
        """
        return mended(self.schema, sql, observation, self.run)

    def value_index(self) -> ValueIndex:
        """The text values of this database, read at the first call; see `sql_graph.databases.value_index`.

        Raises:
            DatabaseError: the database is missing or cannot be used.
        """
        key = self._backend.identity()
        with _schemas_lock:
            if key in _indexes:
                _indexes.move_to_end(key)
                return _indexes[key]
        index = build_value_index(self._backend, self.schema)
        with _schemas_lock:
            _indexes[key] = index
            while len(_indexes) > MAX_CACHED_INDEXES:
                _indexes.popitem(last=False)
        return index

    def close(self) -> None:
        """Close all connections of this process. Used again, the database opens new ones."""
        self._backend.close()

    def __enter__(self) -> SqlDatabase:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<SqlDatabase: {self._backend}>"

    def __reduce__(self) -> tuple[object, ...]:
        return _reopen, (self._address, self._limits, self._notes)

    def _writer(self) -> SchemaWriter:
        key = self._backend.identity()
        with _schemas_lock:
            if key in _schemas:
                _schemas.move_to_end(key)
                return _schemas[key]
        schema = self._backend.read_schema()
        if not schema.tables:
            raise EmptyDatabaseError(database=str(self._backend))
        writer = SchemaWriter(with_values(self._backend, schema))
        with _schemas_lock:
            _schemas[key] = writer
            while len(_schemas) > MAX_CACHED_SCHEMAS:
                _schemas.popitem(last=False)
        return writer


def _reopen(address: PathLike | URL, limits: DatabaseLimits, notes: Notes | None) -> SqlDatabase:
    return SqlDatabase(address, limits=limits, notes=notes)
