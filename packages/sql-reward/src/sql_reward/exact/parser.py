"""Parse SQL by the grammar of Spider's exact match: with all it lacks and all it tolerates.

The grammar knows SELECT, inner JOIN, WHERE, GROUP BY, HAVING, ORDER BY, LIMIT and the set operations. It has no LEFT
JOIN, CASE, CAST, IS NULL, USING, function, comma join, column alias or WITH. So it cannot read about one model answer
in six; the metric is defined that way. It tolerates much else: it looks for FROM before it reads SELECT, commas in
SELECT are optional, and it ignores what follows a complete query. It does not decide whether SQL is valid.
"""

from sql_reward.errors import SqlRewardError
from sql_reward.exact.expressions import AGGREGATES, ExpressionReader
from sql_reward.exact.schema import Schema
from sql_reward.exact.tokens import NoReadingError, no_reading, split_words
from sql_reward.exact.tree import (
    Column,
    Condition,
    Conditions,
    Connector,
    Expression,
    Ordering,
    Query,
    Selected,
    Value,
)

OPERATORS = frozenset({"not", "between", "=", ">", "<", ">=", "<=", "!=", "in", "like", "is", "exists"})
SET_OPERATORS = frozenset({"intersect", "union", "except"})
CLAUSES = frozenset({"select", "from", "where", "group", "order", "limit"}) | SET_OPERATORS
JOINS = frozenset({"join", "on", "as"})
CLAUSE_ENDS = CLAUSES | {")", ";"}
CONDITION_ENDS = CLAUSE_ENDS | JOINS
VALUE_ENDS = CLAUSES | JOINS | {",", ")", "and"}
"""What ends a column that is used as a value. OR is absent: `a = b OR c = d` is read as `a = b`."""

MAX_NESTING = 100
"""Queries inside queries: more than people write, and few enough for the interpreter's stack."""


class UnparsableSqlError(SqlRewardError, ValueError):
    """The grammar of exact match cannot read this SQL; `reason` says where it stopped."""

    def __init__(self, sql: str, reason: str) -> None:
        super().__init__(sql, reason)
        self.sql = sql
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"Spider's exact-match grammar cannot read {self.sql!r}: {self.reason}; "
            "rewrite the query within that grammar, or compare results instead"
        )


def parse_query(sql: str, schema: Schema) -> Query:
    """The parts of `sql`, with the names as `schema` has them.

    Raises:
        UnparsableSqlError: the grammar cannot read it, or a table or column is not in the schema.
    """
    words = split_words(sql)
    if words is None:
        raise UnparsableSqlError(sql, "its quotes do not pair up")
    try:
        return _Parser(words, schema, _table_names(words, schema), []).query(0)
    except NoReadingError as error:
        raise UnparsableSqlError(sql, str(error)) from None


def _table_names(words: list[str], schema: Schema) -> dict[str, str]:
    """The table that each word names: its own name, or the word after AS. The whole text is one scope."""
    names: dict[str, str] = {}
    for place, word in enumerate(words):
        if word == "as":
            if place + 1 == len(words):
                no_reading("it ends in AS")
            names[words[place + 1]] = words[place - 1]
    for table in schema.tables:
        if table in names:
            no_reading(f"the alias {table!r} is the name of a table")
        names[table] = table
    return names


class _Parser(ExpressionReader):
    """Each method reads one part of the grammar and moves the cursor past it."""

    nesting = 0

    def query(self, start: int) -> Query:
        """A query from `start`. A column name without a table is searched in the tables of its own FROM only."""
        outer, self.known = self.known, []
        self.nesting += 1
        if self.nesting > MAX_NESTING:
            no_reading(f"more than {MAX_NESTING} queries are nested")
        self.at = start
        wrapped = self.take("(")
        select_start = self.at
        sources, joins = self.from_clause(start)
        after_from, self.at = self.at, select_start
        distinct, select = self.select_clause()
        self.at = after_from
        where = self.conditions() if self.take("where") else ()
        group = self.group_clause()
        having = self.conditions() if self.take("having") else ()
        order = self.order_clause()
        limited = self.limit_clause()
        self.skip_semicolons()
        if wrapped:
            self.expect(")")
        self.skip_semicolons()
        set_operator, other = "", None
        if self.sees(SET_OPERATORS):
            set_operator = self.peek()
            other = self.query(self.at + 1)
        self.nesting -= 1
        self.known = outer
        return Query(
            sources=sources, joins=joins, select=select, distinct=distinct, where=where, group=group, having=having,
            order=order, limited=limited, set_operator=set_operator, other=other,
        )  # fmt: skip

    def skip_semicolons(self) -> None:
        while self.take(";"):
            pass

    def from_clause(self, start: int) -> tuple[tuple[str | Query, ...], Conditions]:
        """The first FROM at or after `start`, wherever it belongs, with the conditions of its joins."""
        try:
            self.at = self.words.index("from", start) + 1
        except ValueError:
            no_reading("there is no FROM")
        sources: list[str | Query] = []
        joins: list[Condition | Connector] = []
        while self.at < len(self.words):
            wrapped = self.take("(")
            if self.peek() == "select":
                sources.append(self.query(self.at))
            else:
                self.take("join")
                table = self.table()
                sources.append(table)
                self.known.append(table)
            if self.take("on"):
                if joins:
                    joins.append(Connector.AND)
                joins.extend(self.conditions())
            if wrapped:
                self.expect(")")
            if self.sees(CLAUSE_ENDS):
                break
        return tuple(sources), tuple(joins)

    def table(self) -> str:
        table = self.tables.get(self.peek())
        if table is None or table not in self.schema.tables:
            no_reading(f"no table {self.peek()!r}")
        self.at += 1
        if self.take("as"):
            self.at += 1
        return table

    def select_clause(self) -> tuple[bool, tuple[Selected, ...]]:
        self.expect("select")
        distinct = self.take("distinct")
        items: list[Selected] = []
        while self.at < len(self.words) and not self.sees(CLAUSES):
            aggregate = "none"
            if self.sees(AGGREGATES):
                aggregate = self.peek()
                self.at += 1
            items.append(Selected(aggregate, self.expression()))
            self.take(",")
        return distinct, tuple(items)

    def group_clause(self) -> tuple[Column, ...]:
        columns: list[Column] = []
        if self.take("group"):
            self.expect("by")
            while self.at < len(self.words) and not self.sees(CLAUSE_ENDS):
                columns.append(self.column_unit())
                if not self.take(","):
                    break
        return tuple(columns)

    def order_clause(self) -> Ordering | None:
        if not self.take("order"):
            return None
        self.expect("by")
        direction = "asc"
        keys: list[Expression] = []
        while self.at < len(self.words) and not self.sees(CLAUSE_ENDS):
            keys.append(self.expression())
            if self.sees(("asc", "desc")):
                direction = self.peek()
                self.at += 1
            if not self.take(","):
                break
        return Ordering(direction, tuple(keys))

    def limit_clause(self) -> bool:
        """Whether there is a LIMIT. Any word may follow it."""
        if not self.take("limit"):
            return False
        self.peek()
        self.at += 1
        return True

    # conditions and values

    def conditions(self) -> Conditions:
        items: list[Condition | Connector] = []
        while self.at < len(self.words):
            items.append(self.condition())
            if self.sees(CONDITION_ENDS):
                break
            if self.sees(("and", "or")):
                items.append(Connector(self.peek()))
                self.at += 1
        return tuple(items)

    def condition(self) -> Condition:
        expression = self.expression()
        negated = self.take("not")
        operator = self.peek()
        if operator not in OPERATORS:
            no_reading(f"expected a comparison, found {operator!r}")
        self.at += 1
        value = self.value()
        if operator != "between":
            return Condition(negated, operator, expression, value)
        self.expect("and")
        return Condition(negated, operator, expression, value, self.value())

    def value(self) -> Value:
        wrapped = self.take("(")
        word = self.peek()
        value: Value
        if word == "select":
            value = self.query(self.at)
        elif '"' in word:
            value = word
            self.at += 1
        elif (number := _number(word)) is not None:
            value = number
            self.at += 1
        else:
            value = self.column_as_value(self.at - wrapped)
        if wrapped:
            self.expect(")")
        return value

    def column_as_value(self, start: int) -> Column:
        """The column at `start`. Only the words before the next keyword are read; the cursor moves to that keyword."""
        end = self.at
        while end < len(self.words) and self.words[end] not in VALUE_ENDS:
            end += 1
        column = ExpressionReader(self.words[start:end], self.schema, self.tables, self.known).column_unit()
        self.at = end
        return column


def _number(word: str) -> float | None:
    """As Python reads it: `1_000`, `nan` and `infinity` are numbers here."""
    try:
        return float(word)
    except ValueError:
        return None
