"""Fill the tables of one variant with other rows; every key holds.

Parent tables are filled first. A row takes its foreign keys from rows that exist, and its other cells from the column's
pool for this variant. Some rows meet all conditions of one gold query. A row that the file's own constraints refuse is
drawn again, and left out after too many draws.
"""

from __future__ import annotations

import random
import sqlite3
from dataclasses import dataclass, field

from spider_data.readonly import quoted
from spider_data.suite.golds import Condition
from spider_data.suite.recipe import Profile, Recipe
from spider_data.suite.schema import ForeignKey, Scalar, SourceTable
from spider_data.suite.values import make_pool, meeting, unused_value
from spider_data.suite.virtual import rebuild

_ATTEMPTS = 25
"""Draws for one row before it is left out."""
_FREE_REFUSALS = 8
"""Refusals of a row whose cells are chosen one by one. After these, all cells come from one row of the source, because
a constraint may relate them."""
_TAKEN = ("SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT_ROWID")
"""Refusals because a key exists already; another draw can avoid them."""


@dataclass(kw_only=True)
class Filler:
    """The state of filling one variant: the rows so far, and each column's pool."""

    recipe: Recipe
    connection: sqlite3.Connection
    rng: random.Random
    profile: Profile
    rows: dict[str, list[dict[str, Scalar]]] = field(default_factory=dict[str, list[dict[str, Scalar]]])
    pools: dict[tuple[str, str], list[Scalar]] = field(default_factory=dict[tuple[str, str], list[Scalar]])

    def fill(self) -> None:
        """Fill every table of an empty database that has the schema."""
        tables = self.recipe.schema.tables
        parents = {key.parent for table in tables for key in table.foreign_keys if key.parent != table.name}
        # An empty parent table would empty its children too, and few queries would find anything.
        leaves = [table for table in tables if table.name not in parents] or tables
        empty = self.rng.sample(leaves, min(self.profile.empty_tables, len(leaves), len(tables) - 1))
        open_keys: list[tuple[SourceTable, ForeignKey]] = []
        for table in tables:
            known = {*self.rows, table.name}
            open_keys += [(table, key) for key in table.foreign_keys if key.parent not in known]
            self.rows[table.name] = []
            if table not in empty:
                self._fill_table(table)
        for table, key in open_keys:
            self._close(table, key)
        self._drop_dangling()
        for table in self.recipe.schema.virtual:
            if table.is_rebuilt:
                rebuild(self.connection, table)

    def _fill_table(self, table: SourceTable) -> None:
        if not table.columns:
            return
        low, high = self.profile.rows
        count = self.rng.randint(low, high)
        if 0 < table.row_count <= 8:
            count = min(count, table.row_count + self.rng.randint(0, 3))
        elif table.foreign_keys:
            count = round(count * 1.4)
        for column in table.columns:
            facts = self.recipe.columns[table.name, column.name]
            size = count + 4 if facts.is_unique else self.profile.pool
            self.pools[table.name, column.name] = make_pool(facts, self.rng, size=size, fresh=self.profile.fresh)
        active = self._active_parents(table)
        marks = ", ".join("?" * len(table.columns))
        insert = (
            f"INSERT INTO {quoted(table.name)} ({', '.join(quoted(c.name) for c in table.columns)}) VALUES ({marks})"
        )
        taken: dict[tuple[str, ...], set[tuple[Scalar, ...]]] = {columns: set() for columns in table.unique}
        loose: dict[str, set[Scalar]] = {c.name: set() for c in table.columns}
        for _ in range(count):
            refused = 0
            for _ in range(_ATTEMPTS):
                donor = self._donor(table, refused)
                row = self._row(table, active, loose, donor)
                if row is None:
                    return
                keys = {columns: tuple(_folded(row[name]) for name in columns) for columns in taken}
                if any(None not in key and key in taken[columns] for columns, key in keys.items()):
                    continue
                try:
                    self.connection.execute(insert, [row[column.name] for column in table.columns])
                except sqlite3.Error as error:
                    # A CHECK, an index or a generated column refuses these values; the next draw may pass.
                    refused += getattr(error, "sqlite_errorname", "") not in _TAKEN
                    continue
                for columns, key in keys.items():
                    taken[columns].add(key)
                for name, value in row.items():
                    loose[name].add(value)
                self.rows[table.name].append(row)
                break

    def _active_parents(self, table: SourceTable) -> dict[ForeignKey, list[dict[str, Scalar]]]:
        """For each key, the parent rows that children choose from, among them rows with a constant of a gold query."""
        chosen: dict[ForeignKey, list[dict[str, Scalar]]] = {}
        for key in table.foreign_keys:
            parents = self.rows.get(key.parent, [])
            constants = {c: set(f.constants) for (t, c), f in self.recipe.columns.items() if t == key.parent}
            constant_rows = [row for row in parents if any(row[name] in constants[name] for name in row)]
            count = max(1, round(len(parents) * self.profile.active_share))
            chosen[key] = [
                *self.rng.sample(parents, min(count, len(parents))),
                *constant_rows[: self.rng.randint(0, 6)],
            ]
        return chosen

    def _donor(self, table: SourceTable, refused: int) -> dict[str, Scalar]:
        """A row of the source to take cells from; empty when each cell is chosen separately."""
        if not table.sample or (refused < _FREE_REFUSALS and not self.recipe.whole_rows):
            return {}
        return dict(zip((column.name for column in table.columns), self.rng.choice(table.sample), strict=True))

    def _row(
        self,
        table: SourceTable,
        active: dict[ForeignKey, list[dict[str, Scalar]]],
        loose: dict[str, set[Scalar]],
        donor: dict[str, Scalar],
    ) -> dict[str, Scalar] | None:
        """One candidate row; None when a required parent table has no rows."""
        wanted: dict[str, list[Condition]] = {}
        bundles = self.recipe.golds.bundles.get(table.name, [])
        if bundles and self.rng.random() < self.profile.bundle_share:
            for condition in self.rng.choice(bundles):
                if self.rng.random() < 0.85:
                    wanted.setdefault(condition.column, []).append(condition)
        row: dict[str, Scalar] = {}
        for key in table.foreign_keys:
            parents = self.rows[table.name] if key.parent == table.name else active[key]
            values = self._parent_values(table, key, parents, row, wanted)
            if values is None:
                return None
            row |= values
        for column in table.columns:
            unique = self.recipe.columns[table.name, column.name].is_unique
            if column.name not in row and donor and (self.recipe.whole_rows or not unique):
                row[column.name] = donor[column.name]
            elif column.name not in row:
                row[column.name] = self._cell(table, column.name, wanted.get(column.name, []), loose[column.name])
        return row

    def _parent_values(
        self,
        table: SourceTable,
        key: ForeignKey,
        parents: list[dict[str, Scalar]],
        row: dict[str, Scalar],
        wanted: dict[str, list[Condition]],
    ) -> dict[str, Scalar] | None:
        pairs = list(zip(key.columns, key.parent_columns, strict=True))
        facts = self.recipe.columns[table.name, key.columns[0]]
        # A foreign key that is never NULL in the source is never NULL here, even where the schema allows NULL.
        required = facts.null_share == 0 and (table.sample or self._not_null(table, key))
        # Two keys may share a column: the second uses the value that the first one chose.
        fitting = [p for p in parents if all(row[mine] == p[theirs] for mine, theirs in pairs if mine in row)]
        fitting = [p for p in fitting if all(p[theirs] is not None for _, theirs in pairs)]
        free = [name for name in key.columns if name not in row]
        if key.parent not in self.rows:  # a cycle: set after the parent has rows
            return {name: self._cell(table, name, [], set()) for name in free}
        if not required and free and (not fitting or self.rng.random() < facts.null_share):
            return dict.fromkeys(free, None)
        if not fitting:
            if key.parent == table.name and not self.rows[table.name]:
                return self._own_parent(table, key, row)
            return None
        asked = [c for name in key.columns for c in wanted.get(name, []) if c.op == "="]
        meeting_rows = [p for p in fitting if all(p[dict(pairs)[c.column]] == c.value for c in asked)] if asked else []
        parent = self.rng.choice(meeting_rows or fitting)
        return {mine: parent[theirs] for mine, theirs in pairs}

    @staticmethod
    def _not_null(table: SourceTable, key: ForeignKey) -> bool:
        return any(column.not_null for column in table.columns if column.name in key.columns)

    def _own_parent(self, table: SourceTable, key: ForeignKey, row: dict[str, Scalar]) -> dict[str, Scalar]:
        """The first row of a table whose key to itself may not be NULL refers to itself."""
        values: dict[str, Scalar] = {}
        for mine, theirs in zip(key.columns, key.parent_columns, strict=True):
            value = row.get(theirs, self._cell(table, theirs, [], set()))
            values |= {mine: value, theirs: value}
        return values

    def _cell(self, table: SourceTable, name: str, wanted: list[Condition], used: set[Scalar]) -> Scalar:
        facts = self.recipe.columns[table.name, name]
        settled = self.recipe.settled and (table.name, name) in self.recipe.golds.sorted_by
        single = facts.is_unique or (facts.looks_unique and (self.profile.keep_unique or settled))
        if wanted:
            value = meeting(self.rng.choice(wanted), self.rng, facts)
            if not (single and value in used):
                return value
        if facts.null_share and self.rng.random() < facts.null_share:
            return None
        pool = self.pools[table.name, name]
        source = self.recipe.soft_links.get((table.name, name))
        if source is not None and self.rows.get(source[0]) and self.rng.random() < 0.85:
            shared = [row[source[1]] for row in self.rows[source[0]] if row[source[1]] is not None]
            pool = shared or pool
        if not single:
            return self.rng.choice(pool)
        free = [value for value in pool if value not in used]
        return self.rng.choice(free) if free else unused_value(facts, self.rng, used)

    def _close(self, table: SourceTable, key: ForeignKey) -> None:
        """Set a key of a cycle after its parent has rows. A row without a possible parent gets NULL or is removed."""
        parents = self.rows[key.parent]
        handle = table.key or ("rowid",)
        where = " AND ".join(f"{quoted(name) if table.key else name} IS ?" for name in handle)
        names = ", ".join(quoted(name) if table.key else name for name in handle)
        nullable = not self._not_null(table, key)
        for found in self.connection.execute(f"SELECT {names} FROM {quoted(table.name)}").fetchall():
            parent = self.rng.choice(parents) if parents else None
            if parent is None and not nullable:
                self.connection.execute(f"DELETE FROM {quoted(table.name)} WHERE {where}", found)
                continue
            values = [parent[name] if parent else None for name in key.parent_columns]
            sets = ", ".join(f"{quoted(name)} = ?" for name in key.columns)
            try:
                self.connection.execute(f"UPDATE {quoted(table.name)} SET {sets} WHERE {where}", [*values, *found])
            except sqlite3.IntegrityError:
                self.connection.execute(f"DELETE FROM {quoted(table.name)} WHERE {where}", found)

    def _drop_dangling(self) -> None:
        """Remove rows whose parent is missing, as closing a cycle can leave them, until none is left."""
        for table in [table for table in self.recipe.schema.tables if table.foreign_keys]:
            for key in table.foreign_keys:
                mine = " AND ".join(
                    f"p.{quoted(theirs)} = c.{quoted(name)}"
                    for name, theirs in zip(key.columns, key.parent_columns, strict=True)
                )
                known = " AND ".join(f"c.{quoted(name)} IS NOT NULL" for name in key.columns)
                handle = ", ".join(map(quoted, table.key)) or "rowid"
                dangling = (
                    f"SELECT {handle} FROM {quoted(table.name)} AS c WHERE {known} "
                    f"AND NOT EXISTS (SELECT 1 FROM {quoted(key.parent)} AS p WHERE {mine})"
                )
                self.connection.execute(f"DELETE FROM {quoted(table.name)} WHERE ({handle}) IN ({dangling})")


def _folded(value: Scalar) -> Scalar:
    """A key value as SQLite may compare it: 1 and 1.0 are equal, and text is compared without case."""
    return value.lower() if isinstance(value, str) else value
