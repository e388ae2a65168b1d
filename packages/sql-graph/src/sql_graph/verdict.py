"""From a checker's reply to its verdict. Total: any text gives an answer, none raises."""

from __future__ import annotations

import re
from enum import StrEnum

from sql_graph.parse import without_thinking


class CheckVerdict(StrEnum):
    """What a checker says of a query."""

    CORRECT = "correct"
    INCORRECT = "incorrect"


_VERDICT = re.compile(
    r"^[\s>*_#`-]*(?:(?:final\s+)?verdict[\s*_`]*[:=-][\s*_`\[(]*|the\s+query\s+is\s+[*_`]*)?(correct|incorrect)"
    r"[\s*_`.!\])]*$",
    re.IGNORECASE,
)


def parse_verdict(reply: str) -> CheckVerdict | None:
    """The verdict in a checker's reply: the last line that is nothing but a verdict; None when there is no such line.

    Such a line reads `VERDICT: CORRECT`, `The query is incorrect.` or `CORRECT`, with any markdown around it. The
    same words inside a sentence are prose and count for nothing.
    """
    for line in reversed(without_thinking(reply).splitlines()):
        if match := _VERDICT.match(line):
            return CheckVerdict(match.group(1).lower())
    return None


def checker_remarks(reply: str) -> str:
    """What a checker says besides its verdict."""
    lines = without_thinking(reply).splitlines()
    return "\n".join(line for line in lines if not _VERDICT.match(line)).strip()
