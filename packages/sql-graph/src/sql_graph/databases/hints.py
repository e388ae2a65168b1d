"""What a failed query's author should know: facts of the schema and the stored values, in sentences.

A database says which name it does not know. What helps is where that name lives: the tables that have the column, the
columns of the table it was sought in, the nearest names, the keys along which the tables join, and the nearest stored
values where a text filter found nothing. Only schema and values are read, no gold query is ever known here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING

from sql_graph.agent.shown import inert, on_one_line
from sql_graph.databases.complaints import Complaint, Unknown, complaint_in
from sql_graph.databases.mentions import filters_in, tables_in
from sql_graph.ports import Observation, ObservationStatus

if TYPE_CHECKING:
    from sql_graph.databases.schema import Column, Schema, Table
    from sql_graph.databases.value_index import ValueIndex

MAX_COLUMNS = 24
"""Columns of a table that a hint lists."""
MAX_PLACES = 4
"""Tables that a hint names for one column."""
MAX_VALUES = 3
MAX_LOOKED_UP = 4
"""Filters of one query whose values are looked up."""
MAX_JOINS = 4
"""Steps of a join path that is worth following."""


class Hints:
    """The facts of one database. `values` gives the index, which is built at the first need."""

    def __init__(self, schema: Schema, values: Callable[[], ValueIndex]) -> None:
        self._schema = schema
        self._values = values
        self._tables: dict[str, Table] = {}
        for table in schema.tables:
            self._tables.setdefault(table.name.rpartition(".")[2].lower(), table)
            self._tables[table.name.lower()] = table
        self._links = _links(schema, self._tables)

    def about(self, sql: str, observation: Observation) -> tuple[str, ...]:
        """Sentences about a query that failed or found nothing, the most useful first; none where nothing is known."""
        if observation.status is ObservationStatus.ERROR:
            complaint = complaint_in(observation.text)
            return () if complaint is None else tuple(self._about_name(sql, complaint))
        if observation.status is ObservationStatus.EMPTY:
            return tuple(self._about_values(sql))
        return ()

    def _about_name(self, sql: str, complaint: Complaint) -> Iterable[str]:
        mentioned = tables_in(sql)
        in_play = [table for name in dict.fromkeys(mentioned.values()) if (table := self._table(name))]
        match complaint.kind:
            case Unknown.COLUMN:
                yield from self._about_column(complaint, mentioned, in_play)
            case Unknown.TABLE:
                names = ", ".join(self._name(table.name) for table in self._schema.tables[:MAX_COLUMNS])
                near = self._near_tables(complaint.name)
                yield f"There is no table {_shown(complaint.name)}.{near} The tables are {names}."
            case Unknown.ALIAS:
                yield from self._about_alias(complaint.name, in_play)
            case Unknown.AMBIGUOUS:
                owners = self._owners(complaint.name, among=in_play)
                names = " or ".join(f"{self._name(t.name)}.{self._name(c.name)}" for t, c in owners)
                yield f"Several tables have a column {_shown(complaint.name)}: write {names or 'its table before it'}."
            case Unknown.FUNCTION:
                yield f"There is no function {_shown(complaint.name)} for such arguments."

    def _about_alias(self, name: str, in_play: list[Table]) -> Iterable[str]:
        table = self._table(name)
        told = self._name(table.name) if table else _shown(name)
        yield f"{told} is used before a dot but does not stand in FROM or JOIN."
        yield from self._paths([table] if table else [], in_play)

    def _about_column(self, complaint: Complaint, mentioned: dict[str, str], in_play: list[Table]) -> Iterable[str]:
        owners = self._owners(complaint.name)
        owning = [table for table, _ in owners]
        if complaint.owner and complaint.owner.lower() not in mentioned:  # SQLite calls this a column too
            yield from self._about_alias(complaint.owner, in_play)
            return
        sought = self._table(mentioned[complaint.owner.lower()]) if complaint.owner else None
        # A table that has the column stands in another part of the query: a subquery has tables of its own.
        tables = [sought] if sought else [table for table in in_play if table not in owning]
        asked = " and ".join(self._name(table.name) for table in tables) or "This part of the query"
        said = f"{asked} {'has' if len(tables) < 2 else 'have'} no column {_shown(complaint.name)}."
        if owners:
            places = " or ".join(f"{self._name(t.name)}.{self._name(c.name)}" for t, c in owners[:MAX_PLACES])
            said += f" Write {places}."
        else:
            said += self._near_columns(complaint.name, tables)
        yield said
        yield from self._stand_ins(owners, tables)
        for table in tables[:MAX_PLACES]:
            yield f"{self._name(table.name)} has the columns {self._columns(table)}."
        yield from self._paths(owning[:MAX_PLACES], in_play if sought else tables)

    def _stand_ins(self, owners: list[tuple[Table, Column]], tables: list[Table]) -> Iterable[str]:
        """The columns of these tables that refer to one of `owners`, and so hold the same values."""
        for table in tables:
            for key in table.foreign_keys:
                other = self._table(key.table)
                for mine, theirs in zip(key.columns, key.referred_columns, strict=False):
                    if any(owner is other and column.name == theirs for owner, column in owners if column.name != mine):
                        yield f"{self._name(table.name)}.{self._name(mine)} holds the same values."

    def _about_values(self, sql: str) -> Iterable[str]:
        mentioned = tables_in(sql)
        in_play = [table for name in dict.fromkeys(mentioned.values()) if (table := self._table(name))]
        for sought in filters_in(sql)[:MAX_LOOKED_UP]:
            table = self._table(mentioned.get(sought.owner.lower(), sought.owner)) if sought.owner else None
            owners = self._owners(sought.column, among=[table] if table else in_play)
            if not owners:
                continue
            owner, column = owners[0]
            index = self._values()
            near = index.near(sought.value, table=owner.name, column=column.name, most=MAX_VALUES)
            if any(found.value == sought.value for found in near):
                continue
            place = f"{self._name(owner.name)}.{self._name(column.name)}"
            if near:
                values = ", ".join(_quoted(found.value) for found in near)
                yield f"{place} holds no {_quoted(sought.value)}; the nearest of its values: {values}."
                continue
            elsewhere = index.near(sought.value, most=MAX_VALUES)
            if elsewhere:
                values = ", ".join(
                    f"{_quoted(f.value)} in {self._name(f.table)}.{self._name(f.column)}" for f in elsewhere
                )
                yield f"{place} holds nothing like {_quoted(sought.value)}; elsewhere stand {values}."

    def _table(self, name: str) -> Table | None:
        return self._tables.get(name.lower()) or self._tables.get(name.rpartition(".")[2].lower())

    def _owners(self, column: str, *, among: Iterable[Table] | None = None) -> list[tuple[Table, Column]]:
        tables = self._schema.tables if among is None else among
        return [(t, c) for t in tables for c in t.columns if c.name.lower() == column.lower()]

    def _near_columns(self, name: str, tables: list[Table]) -> str:
        """The nearest column names: of the tables that were asked, else of all."""
        for among in (tables, self._schema.tables):
            known = {c.name.lower(): f"{self._name(t.name)}.{self._name(c.name)}" for t in among for c in t.columns}
            near = get_close_matches(name.lower(), known, n=MAX_VALUES, cutoff=0.6)
            if near:
                return f" The nearest names are {', '.join(known[found] for found in near)}."
        return ""

    def _near_tables(self, name: str) -> str:
        known = {table.name.lower(): self._name(table.name) for table in self._schema.tables}
        near = get_close_matches(name.lower(), known, n=1, cutoff=0.5)
        return f" The nearest name is {known[near[0]]}." if near else ""

    def _columns(self, table: Table) -> str:
        names = [self._name(column.name) for column in table.columns[:MAX_COLUMNS]]
        more = len(table.columns) - len(names)
        return ", ".join(names) + (f" and {more} more" if more else "")

    def _paths(self, targets: list[Table], in_play: list[Table]) -> Iterable[str]:
        """The shortest way along keys from a table in play to a target that is not."""
        if not in_play or any(target in in_play for target in targets):
            return
        ways = [way for target in targets if (way := self._way(in_play, target))]
        if ways:
            steps = min(ways, key=len)
            yield f"Join {' AND '.join(steps)}." if len(steps) == 1 else f"Join along {', then '.join(steps)}."

    def _way(self, starts: list[Table], target: Table) -> list[str]:
        before: dict[str, tuple[str, str] | None] = {table.name: None for table in starts}
        queue = deque((table.name, 0) for table in starts)
        while queue:
            name, steps = queue.popleft()
            if name == target.name:
                way: list[str] = []
                step = before[name]
                while step is not None:
                    way.insert(0, step[1])
                    step = before[step[0]]
                return way
            for other, how in self._links.get(name, {}).items() if steps < MAX_JOINS else ():
                if other not in before:
                    before[other] = (name, how)
                    queue.append((other, steps + 1))
        return []

    def _name(self, name: str) -> str:
        return inert(on_one_line(self._schema.spell(name)))


def _links(schema: Schema, tables: dict[str, Table]) -> dict[str, dict[str, str]]:
    """For each table the tables it joins along a foreign key, with the condition in SQL."""
    links: dict[str, dict[str, str]] = {table.name: {} for table in schema.tables}

    def name(text: str) -> str:
        return inert(on_one_line(schema.spell(text)))

    for table in schema.tables:
        for key in table.foreign_keys:
            other = tables.get(key.table.lower())
            if other is None or other.name == table.name:
                continue
            theirs = key.referred_columns or other.primary_key
            pairs = zip(key.columns, theirs, strict=False)
            how = " AND ".join(f"{name(table.name)}.{name(a)} = {name(other.name)}.{name(b)}" for a, b in pairs)
            if how:
                links[table.name].setdefault(other.name, how)
                links[other.name].setdefault(table.name, how)
    return links


def _shown(name: str) -> str:
    return inert(on_one_line(name))


def _quoted(value: str) -> str:
    return "'" + inert(on_one_line(value)).replace("'", "''") + "'"
