"""The official evaluator's textual rules, each by its name. Pure text in, text out.

They reproduce what the evaluator does through sqlparse, oddities included, because its verdicts depend on them.
"""

from __future__ import annotations

import re
from typing import Final

_CURRENT_YEAR: Final = re.compile(r"YEAR\s*\(\s*CURDATE\s*\(\s*\)\s*\)\s*", re.IGNORECASE)


def join_operators(sql: str) -> str:
    """Write `> =`, `< =` and `! =` as one operator, everywhere in the text, also inside literals."""
    return sql.replace("> =", ">=").replace("< =", "<=").replace("! =", "!=")


def fix_current_year(sql: str) -> str:
    """Replace MySQL's YEAR(CURDATE()) by 2020, the year of the official evaluator."""
    return _CURRENT_YEAR.sub("2020", sql) if "(" in sql else sql


def order_matters(gold_sql: str) -> bool:
    """Whether the gold query's rows are compared in sequence: the official test is this text, anywhere in it."""
    return "order by" in gold_sql.lower()
