"""The innermost part of Spider's exact-match grammar: columns, aggregates, and arithmetic on two columns."""

from collections.abc import Mapping

from sql_reward.exact.schema import ALL_COLUMNS, Schema
from sql_reward.exact.tokens import Cursor, no_reading
from sql_reward.exact.tree import Column, Expression

AGGREGATES = frozenset({"none", "max", "min", "count", "sum", "avg"})
ARITHMETIC = frozenset({"none", "-", "+", "*", "/"})


class ExpressionReader(Cursor):
    """Read columns and find their names in a schema."""

    def __init__(self, words: list[str], schema: Schema, tables: Mapping[str, str], known: list[str]) -> None:
        super().__init__(words)
        self.schema = schema
        self.tables = tables
        """The table that each word may name; some of these words are no tables."""
        self.known = known
        """Tables of the FROM being read. A column name without a table is searched in these."""

    def expression(self) -> Expression:
        wrapped = self.take("(")
        left = self.column_unit()
        operator, right = "none", None
        if self.sees(ARITHMETIC):
            operator = self.peek()
            self.at += 1
            right = self.column_unit()
        if wrapped:
            self.expect(")")
        return Expression(operator, left, right)

    def column_unit(self) -> Column:
        wrapped = self.take("(")
        aggregate = self.peek()
        if aggregate in AGGREGATES:
            self.at += 1
            self.expect("(")
            distinct = self.take("distinct")
            name = self.column_name()
            self.expect(")")
            return Column(aggregate, name, distinct)  # the caller closes an outer parenthesis
        distinct = self.take("distinct")
        name = self.column_name()
        if wrapped:
            self.expect(")")
        return Column("none", name, distinct)

    def column_name(self) -> str:
        word = self.peek()
        self.at += 1
        if word == ALL_COLUMNS:
            return word
        alias, dot, column = word.partition(".")
        candidates = [self.tables.get(alias, "")] if dot else self.known
        for table in candidates:
            if (column if dot else word) in self.schema.tables.get(table, ()):
                return f"{table}.{column if dot else word}"
        return no_reading(f"no column {word!r} in {candidates!r}")
