"""The official evaluator's textual rules, each by its name. Pure: text in, text out.

They are applied to the gold query and to the prediction alike, oddities included, because its verdicts depend on them.
"""

from __future__ import annotations

import re
from typing import Final

from sql_reward.rules.lexer import first_statement

_CURRENT_YEAR: Final = re.compile(r"YEAR\s*\(\s*CURDATE\s*\(\s*\)\s*\)\s*", re.IGNORECASE)
_ORDINARY: Final = re.compile(r"[\w\s(),.*=<>!+]*(?:'[^'\\]*'[\w\s(),.*=<>!+]*)*;? *", re.ASCII)
"""Words, plain operators and texts in single quotes, and at most the last sign a semicolon: one statement, in which a
word is a token wherever it stands."""
_GLUED: Final = re.compile(r"\ddistinct", re.IGNORECASE)
"""A number may end where a word goes on."""
_DISTINCT: Final = re.compile(r"'[^']*'|\bdistinct\b", re.ASCII | re.IGNORECASE)


def join_operators(sql: str) -> str:
    """Write `> =`, `< =` and `! =` as one operator, everywhere in the text, also inside literals and comments."""
    return sql.replace("> =", ">=").replace("< =", "<=").replace("! =", "!=")


def fix_current_year(sql: str) -> str:
    """Replace MySQL's YEAR(CURDATE()) by 2020, the year of the official evaluator."""
    return _CURRENT_YEAR.sub("2020", sql) if "curdate" in sql.lower() else sql


def remove_distinct(sql: str) -> str:
    """The first statement without its DISTINCTs: those inside aggregates go too, those in quotes and comments stay.

    A text of blanks alone gives the empty text.
    """
    has_distinct = "distinct" in sql.lower()
    if "GO" not in sql:
        if not has_distinct and ";" not in sql:
            return sql if sql and not sql.isspace() else ""
        if _ORDINARY.fullmatch(sql) and not _GLUED.search(sql):
            return _DISTINCT.sub(_kept, sql) if has_distinct else sql
    return "".join([text for text in first_statement(sql) if text.lower() != "distinct"])


def _kept(found: re.Match[str]) -> str:
    return found[0] if found[0][0] == "'" else ""


def order_matters(gold_sql: str) -> bool:
    """Whether the rows are compared in sequence. The official test: this text occurs in the gold query, anywhere."""
    return "order by" in gold_sql.lower()


def official_text(sql: str, *, keep_distinct: bool) -> str:
    """The statement that the official evaluator runs in place of this text, before the year is fixed."""
    if "> =" in sql or "< =" in sql or "! =" in sql:
        sql = join_operators(sql)
    return sql if keep_distinct else remove_distinct(sql)
