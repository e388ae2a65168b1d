"""The official evaluator's textual rules, each by its name. Pure: text in, text out.

They are applied to the gold query and to the prediction alike, oddities included, because its verdicts depend on them.
"""

from __future__ import annotations

import re
from typing import Final

from sql_reward.rules.lexer import first_statement

_CURRENT_YEAR: Final = re.compile(r"YEAR\s*\(\s*CURDATE\s*\(\s*\)\s*\)\s*", re.IGNORECASE)


def join_operators(sql: str) -> str:
    """Write `> =`, `< =` and `! =` as one operator, everywhere in the text, also inside literals and comments."""
    return sql.replace("> =", ">=").replace("< =", "<=").replace("! =", "!=")


def fix_current_year(sql: str) -> str:
    """Replace MySQL's YEAR(CURDATE()) by 2020, the year of the official evaluator."""
    return _CURRENT_YEAR.sub("2020", sql) if "(" in sql else sql


def remove_distinct(sql: str) -> str:
    """The first statement without its DISTINCTs: those inside aggregates go too, those in quotes and comments stay.

    A text of blanks alone gives the empty text.
    """
    if ";" not in sql and "GO" not in sql and "distinct" not in sql.lower():
        return sql if sql and not sql.isspace() else ""
    return "".join([text for text in first_statement(sql) if text.lower() != "distinct"])


def order_matters(gold_sql: str) -> bool:
    """Whether the rows are compared in sequence. The official test: this text occurs in the gold query, anywhere."""
    return "order by" in gold_sql.lower()


def official_text(sql: str, *, keep_distinct: bool) -> str:
    """The statement that the official evaluator runs in place of this text, before the year is fixed."""
    joined = join_operators(sql)
    return joined if keep_distinct else remove_distinct(joined)
