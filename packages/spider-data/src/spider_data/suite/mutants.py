"""Make mutants: wrong queries that differ from a gold query by one change. They measure a test suite.

Every mutant differs from its gold query in one place: an aggregate, a comparison, a constant, DISTINCT, an ordering, a
limit, a join, AND/OR, a dropped condition, a column, a set operation. This module does not decide whether a mutant is
equivalent to its gold query (see `spider_data.suite.power`). It executes nothing.
"""

# sqlglot's nodes are only partly typed: their arguments are Any or unknown.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false, reportPrivateImportUsage=false, reportUnknownParameterType=false

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlglot import exp

from spider_data.suite.golds import Node, Resolver, literal
from spider_data.suite.schema import Scalar


class MutantKind(StrEnum):
    """The kind of a change."""

    AGGREGATE = "aggregate"
    COMPARISON = "comparison"
    CONSTANT = "constant"
    DISTINCT = "distinct"
    ORDER = "order"
    LIMIT = "limit"
    JOIN = "join"
    LOGIC = "logic"
    CONDITION = "condition"
    COLUMN = "column"
    SET_OPERATION = "set operation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A changed query and the kind of its change."""

    kind: MutantKind
    sql: str


OtherValues = Callable[[str, str], Sequence[Scalar]]
"""Given a table and a column, returns some values of the column, to use as wrong constants."""

_AGGREGATES: dict[type[Node], type[Node]] = {
    exp.Min: exp.Max,
    exp.Max: exp.Min,
    exp.Avg: exp.Sum,
    exp.Sum: exp.Avg,
    exp.Count: exp.Sum,
}
_COMPARISONS: dict[type[Node], tuple[type[Node], ...]] = {
    exp.GT: (exp.GTE, exp.LT),
    exp.GTE: (exp.GT, exp.LTE),
    exp.LT: (exp.LTE, exp.GT),
    exp.LTE: (exp.LT, exp.GTE),
    exp.EQ: (exp.NEQ, exp.GTE),
    exp.NEQ: (exp.EQ,),
}
_SET_OPERATIONS: dict[type[Node], tuple[type[Node], ...]] = {
    exp.Union: (exp.Intersect, exp.Except),
    exp.Intersect: (exp.Union, exp.Except),
    exp.Except: (exp.Union, exp.Intersect),
}


def mutants(sql: str, resolver: Resolver, other_values: OtherValues | None = None) -> list[Mutant]:
    """All one-place mutants of a query, without repeats and without the query itself.

    Empty when sqlglot cannot parse the query. The SQL is written as sqlglot writes SQLite.
    """
    tree = resolver.tree(sql)
    if tree is None:
        return []
    seen = {_text(tree)}
    found: list[Mutant] = []
    for kind in _changes(tree, resolver, other_values):
        text = _text(tree)
        if text not in seen:
            seen.add(text)
            found.append(Mutant(kind=kind, sql=text))
    return found


def _text(tree: Node) -> str:
    # Copying takes half of the time; sqlglot needs the copy only for constructs that SQLite does not have.
    return tree.sql("sqlite", copy=False)


def _changes(tree: Node, resolver: Resolver, other_values: OtherValues | None) -> Iterator[MutantKind]:
    """Change the tree in place, yield, and restore the tree."""
    for node in list(tree.walk()):
        if type(node) in _AGGREGATES:
            yield from _aggregate(node)
        elif type(node) in _COMPARISONS and not _is_join_key(node):
            yield from _retype(node, _COMPARISONS[type(node)], MutantKind.COMPARISON)
        elif isinstance(node, exp.And | exp.Or) and not _in_on(node):
            yield from _retype(node, (exp.Or if isinstance(node, exp.And) else exp.And,), MutantKind.LOGIC)
            yield from _keep_one_side(node)
        elif isinstance(node, exp.In | exp.Like | exp.Between | exp.Exists):
            yield from _negation(node)
        elif isinstance(node, exp.Literal):
            yield from _constant(node, resolver, other_values)
        elif isinstance(node, exp.Select):
            yield from _select(node)
        elif isinstance(node, exp.Ordered):
            yield from _turned(node)
        elif isinstance(node, exp.Join):
            if not node.side and not node.kind and node.args.get("on") is not None:
                yield from _flag(node, "side", "LEFT", MutantKind.JOIN)
        elif isinstance(node, exp.Column):
            yield from _column(node, resolver)
        elif type(node) in _SET_OPERATIONS:
            yield from _retype(node, _SET_OPERATIONS[type(node)], MutantKind.SET_OPERATION)


def _swap(old: Node, new: Node, kind: MutantKind) -> Iterator[MutantKind]:
    if old.parent is None:
        return
    old.replace(new)
    yield kind
    new.replace(old)


def _flag(node: Node, name: str, value: object, kind: MutantKind) -> Iterator[MutantKind]:
    before, order = node.args.get(name), list(node.args)
    node.set(name, value)
    yield kind
    node.set(name, before)
    node.args = {key: node.args[key] for key in order if key in node.args}  # walk() follows the order of the arguments


def _turned(node: exp.Ordered) -> Iterator[MutantKind]:
    """Reverse the direction; NULLs move as they do in SQLite."""
    nulls_first = node.args.get("nulls_first")
    for _ in _flag(node, "desc", not node.args.get("desc"), MutantKind.ORDER):
        node.set("nulls_first", not nulls_first)
        yield MutantKind.ORDER
        node.set("nulls_first", nulls_first)


def _retype(node: Node, kinds: tuple[type[Node], ...], kind: MutantKind) -> Iterator[MutantKind]:
    """Replace the node by another class with the same arguments; also at the root of a tree."""
    original = type(node)
    for other in kinds:
        node.__class__ = other
        yield kind
        node.__class__ = original


def _aggregate(node: Node) -> Iterator[MutantKind]:
    inner = node.this
    distinct = isinstance(inner, exp.Distinct)
    if not (isinstance(node, exp.Count) and (distinct or isinstance(inner, exp.Star))):
        yield from _retype(node, (_AGGREGATES[type(node)],), MutantKind.AGGREGATE)
    if isinstance(node, exp.Count) and distinct and len(inner.expressions) == 1:
        yield from _flag(node, "this", inner.expressions[0].copy(), MutantKind.DISTINCT)
    elif isinstance(node, exp.Count) and isinstance(inner, exp.Column):
        yield from _flag(node, "this", exp.Distinct(expressions=[inner.copy()]), MutantKind.DISTINCT)
        node.set("this", inner)


def _keep_one_side(node: exp.And | exp.Or) -> Iterator[MutantKind]:
    for side in (node.left, node.right):
        yield from _swap(node, side.copy(), MutantKind.CONDITION)


def _negation(node: Node) -> Iterator[MutantKind]:
    parent = node.parent
    if isinstance(parent, exp.Not):
        yield from _swap(parent, node.copy(), MutantKind.COMPARISON)
    else:
        yield from _swap(node, exp.Not(this=node.copy()), MutantKind.COMPARISON)


def _constant(node: exp.Literal, resolver: Resolver, other_values: OtherValues | None) -> Iterator[MutantKind]:
    if isinstance(node.parent, exp.Limit):
        count = int(node.name) if node.name.isdigit() else 1
        yield from _swap(node, exp.Literal.number(count + 1), MutantKind.LIMIT)
        return
    if node.find_ancestor(exp.Where, exp.Having, exp.Join) is None:
        return
    value = literal(node)
    if isinstance(value, int):
        for other in (value + 1, value - 1):
            yield from _swap(node, _number(other), MutantKind.CONSTANT)
    elif isinstance(value, float):
        yield from _swap(node, _number(value + 0.5), MutantKind.CONSTANT)
    elif isinstance(value, str) and isinstance(node.parent, exp.Like):
        for text in (value.lstrip("%"), value.rstrip("%")):
            yield from _swap(node, exp.Literal.string(text), MutantKind.CONSTANT)
    elif isinstance(value, str):
        for text in _other_texts(node, value, resolver, other_values):
            yield from _swap(node, exp.Literal.string(text), MutantKind.CONSTANT)


def _number(value: float) -> Node:
    return exp.Neg(this=exp.Literal.number(-value)) if value < 0 else exp.Literal.number(value)


def _other_texts(node: exp.Literal, value: str, resolver: Resolver, other_values: OtherValues | None) -> Iterator[str]:
    """Replace the constant by another value of the compared column, and a text by the same text in another case."""
    column = node.parent.find(exp.Column) if node.parent is not None else None
    place = resolver.place(column) if column is not None else None
    if place is not None and other_values is not None:
        others = [item for item in other_values(*place) if isinstance(item, str) and item.lower() != value.lower()]
        yield from others[:1]
    yield value.lower() if value != value.lower() else value.upper()


def _select(select: exp.Select) -> Iterator[MutantKind]:
    distinct = select.args.get("distinct")
    grouped_alone = len(select.expressions) == 1 and select.expressions[0].find(exp.AggFunc) is not None
    if not grouped_alone:
        yield from _flag(select, "distinct", None if distinct else exp.Distinct(), MutantKind.DISTINCT)
    if select.args.get("order") is not None:
        yield from _flag(select, "order", None, MutantKind.ORDER)
    if select.args.get("limit") is not None:
        yield from _flag(select, "limit", None, MutantKind.LIMIT)
    for part in ("where", "having"):
        if select.args.get(part) is not None:
            yield from _flag(select, part, None, MutantKind.CONDITION)


def _column(node: exp.Column, resolver: Resolver) -> Iterator[MutantKind]:
    """Replace a column by the next column of the same table, outside join conditions."""
    if node.find_ancestor(exp.Join) is not None or node.find_ancestor(exp.AggFunc) is not None:
        return
    place = resolver.place(node)
    if place is None:
        return
    columns = list(resolver.columns[place[0].lower()][1].values())
    if len(columns) > 1:
        other = columns[(columns.index(place[1]) + 1) % len(columns)]
        changed = exp.column(other, table=node.table or None, quoted=True)
        yield from _swap(node, changed, MutantKind.COLUMN)


def _is_join_key(node: Node) -> bool:
    return isinstance(node.this, exp.Column) and isinstance(node.expression, exp.Column)


def _in_on(node: Node) -> bool:
    return node.find_ancestor(exp.Join, exp.Where, exp.Having) is not None and isinstance(
        node.find_ancestor(exp.Join, exp.Where, exp.Having), exp.Join
    )
