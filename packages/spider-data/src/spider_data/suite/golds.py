"""Read from gold queries: constants of columns, conditions of one query, columns that join.

Variants are built around these, because a wrong query gives other rows near the values that it compares with. Names are
resolved against the schema. A query that sqlglot cannot parse contributes nothing.
"""

# sqlglot's nodes are only partly typed: their arguments are Any or unknown.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false, reportPrivateImportUsage=false, reportUnknownParameterType=false

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from spider_data.suite.schema import Scalar, SourceSchema

Node: TypeAlias = Any
"""A node of sqlglot's tree."""
Place = tuple[str, str]
"""Table and column name, as the schema writes them."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition `column op value` on a table."""

    column: str
    op: str
    """One of `=`, `<>`, `<`, `<=`, `>`, `>=`, `LIKE`."""
    value: Scalar


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldFacts:
    """What all gold queries of one database show."""

    constants: dict[Place, list[Scalar]] = field(default_factory=lambda: defaultdict(list))
    patterns: dict[Place, list[str]] = field(default_factory=lambda: defaultdict(list))
    """LIKE patterns."""
    bundles: dict[str, list[tuple[Condition, ...]]] = field(default_factory=lambda: defaultdict(list))
    """By table: conditions of one query that a row should meet together."""
    joins: set[frozenset[Place]] = field(default_factory=set[frozenset[Place]])
    """Pairs of columns that some query sets equal."""
    sorted_by: set[Place] = field(default_factory=set[Place])
    """Columns by which some query orders its rows."""


class Resolver:
    """Finds the table behind a column name, for one schema."""

    def __init__(self, schema: SourceSchema) -> None:
        self.columns = {
            table.name.lower(): (table.name, {column.name.lower(): column.name for column in table.columns})
            for table in schema.tables
        }
        self.known = {column for _, columns in self.columns.values() for column in columns}
        self._trees: dict[str, Node | None] = {}

    def tree(self, sql: str) -> Node | None:
        """The parsed query, or None if sqlglot cannot parse it; `"France"` is text where no column has that name.

        A second call returns the same tree, so a caller that changes the tree must restore it.
        """
        if sql not in self._trees:
            self._trees[sql] = self._parse(sql)
        return self._trees[sql]

    def _parse(self, sql: str) -> Node | None:
        try:
            tree = sqlglot.parse_one(sql, read="sqlite")
        except (SqlglotError, RecursionError):
            return None
        for column in list(tree.find_all(exp.Column)):
            name = column.this
            if (
                isinstance(name, exp.Identifier)
                and name.args.get("quoted")
                and not column.table
                and name.name.lower() not in self.known
            ):
                column.replace(exp.Literal.string(name.name))
        return tree

    def place(self, column: exp.Column) -> Place | None:
        """The table and column that a column expression names; its own scope comes first, then the outer scopes."""
        name = column.name.lower()
        select = column.find_ancestor(exp.Select)
        while select is not None:
            for alias, table in _sources(select):
                entry = self.columns.get(table.lower())
                if entry and name in entry[1] and (not column.table or column.table.lower() == alias.lower()):
                    return entry[0], entry[1][name]
            select = select.find_ancestor(exp.Select)
        return None


def gather(resolver: Resolver, golds: Iterable[str]) -> GoldFacts:
    """Collect the facts of these queries about the resolver's schema."""
    facts = GoldFacts()
    for gold in golds:
        tree = resolver.tree(gold)
        if tree is None:
            continue
        for select in tree.find_all(exp.Select):
            _conditions(select, resolver, facts)
        for ordered in tree.find_all(exp.Ordered):
            place = resolver.place(ordered.this) if isinstance(ordered.this, exp.Column) else None
            if place is not None:
                facts.sorted_by.add(place)
        for equal in tree.find_all(exp.EQ):
            _join(equal.left, equal.right, resolver, facts)
        for member in tree.find_all(exp.In):
            query = member.args.get("query")
            inner = query.find(exp.Select) if query is not None else None
            if inner is not None and len(inner.expressions) == 1:
                _join(member.this, inner.expressions[0], resolver, facts)
    return facts


def literal(node: Node | None) -> Scalar:
    """The constant that a node holds; None when it holds none."""
    if isinstance(node, exp.Paren):
        return literal(node.this)
    if isinstance(node, exp.Neg):
        inner = literal(node.this)
        return -inner if isinstance(inner, int | float) else None
    if not isinstance(node, exp.Literal):
        return None
    if node.is_string:
        return node.name
    if node.name.isdigit() and len(node.name) < 20 and int(node.name) < 2**63:
        return int(node.name)
    try:
        return float(node.name)  # also a whole number beyond 64 bits, as in SQLite
    except ValueError:
        return None


_OPS: dict[type[Node], tuple[str, str]] = {
    exp.EQ: ("=", "="),
    exp.NEQ: ("<>", "<>"),
    exp.LT: ("<", ">"),
    exp.LTE: ("<=", ">="),
    exp.GT: (">", "<"),
    exp.GTE: (">=", "<="),
}


def _conditions(select: exp.Select, resolver: Resolver, facts: GoldFacts) -> None:
    found: dict[str, list[Condition]] = defaultdict(list)

    def note(column: Node | None, op: str, value: Scalar) -> None:
        if not isinstance(column, exp.Column) or value is None:
            return
        place = resolver.place(column)
        if place is None:
            return
        store = facts.patterns[place] if op == "LIKE" else facts.constants[place]
        if value not in store:
            store.append(value)  # pyright: ignore[reportArgumentType]  a LIKE pattern is always text
        found[place[0]].append(Condition(place[1], op, value))

    where = [part for part in (select.args.get("where"), select.args.get("having")) if part is not None]
    on = [join.args["on"] for join in select.args.get("joins") or [] if join.args.get("on") is not None]
    for root in (*where, *on):
        for node in root.walk(prune=lambda node: isinstance(node, exp.Subquery | exp.Select)):
            if type(node) in _OPS:
                straight, turned = _OPS[type(node)]
                note(_bare(node.left), straight, literal(node.right))
                note(_bare(node.right), turned, literal(node.left))
            elif isinstance(node, exp.Between):
                note(_bare(node.this), ">=", literal(node.args["low"]))
                note(_bare(node.this), "<=", literal(node.args["high"]))
            elif isinstance(node, exp.Like):
                note(_bare(node.this), "LIKE", literal(node.expression))
            elif isinstance(node, exp.In):
                for item in node.expressions:
                    note(_bare(node.this), "=", literal(item))
    for table, conditions in found.items():
        bundle = tuple(conditions)
        if bundle not in facts.bundles[table]:
            facts.bundles[table].append(bundle)


def _bare(node: Node) -> Node:
    """A column inside LOWER(), a cast or brackets counts as the column; aggregates do not."""
    while isinstance(node, exp.Lower | exp.Upper | exp.Trim | exp.Cast | exp.Paren):
        node = node.this
    return node


def _join(left: Node, right: Node, resolver: Resolver, facts: GoldFacts) -> None:
    if isinstance(left, exp.Column) and isinstance(right, exp.Column):
        places = (resolver.place(left), resolver.place(right))
        if places[0] is not None and places[1] is not None and places[0] != places[1]:
            facts.joins.add(frozenset((places[0], places[1])))


def _sources(select: exp.Select) -> list[tuple[str, str]]:
    """(alias, table) of the FROM and JOIN entries that are plain tables."""
    source = select.args.get("from_") or select.args.get("from")
    nodes = [source.this] if source is not None else []
    nodes += [join.this for join in select.args.get("joins") or []]
    return [(node.alias_or_name, node.name) for node in nodes if isinstance(node, exp.Table)]
