"""What a database complains of when it rejects a query: which name it does not know, in the words of each dialect.

Messages are a server's only account of the name, so this is the one place that reads them; `complaints.toml` in the
tests holds the forms. What no form matches is no complaint, and its message stands for itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class Unknown(StrEnum):
    """What kind of name the database stumbled over."""

    COLUMN = "column"
    """No table of the query has such a column, or the table named before the dot has none."""
    TABLE = "table"
    """There is no such table."""
    ALIAS = "alias"
    """The name before a dot is no table or alias of the query."""
    AMBIGUOUS = "ambiguous"
    """Several tables of the query have the column, and the query does not say which one it means."""
    FUNCTION = "function"
    """There is no such function, or none for such arguments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """The name that a database did not know."""

    kind: Unknown
    name: str
    """Without quotes and without what stands before the dot."""
    owner: str = ""
    """What stood before the dot of a column: a table's name or alias. Empty where nothing did."""


_FORMS = tuple(
    (kind, re.compile(form, re.IGNORECASE))
    for kind, form in (
        # SQLite
        (Unknown.COLUMN, r"no such column: \"?(?P<name>.+?)\"?(?: - should this be .*)?$"),
        (Unknown.TABLE, r"no such table: (?P<name>.+)$"),
        (Unknown.AMBIGUOUS, r"ambiguous column name: (?P<name>.+)$"),
        (Unknown.FUNCTION, r"no such function: (?P<name>.+)$"),
        (Unknown.FUNCTION, r"wrong number of arguments to function (?P<name>\w+)"),
        # DuckDB, whose "does not exist" is PostgreSQL's too, so it is asked first
        (Unknown.COLUMN, r"Table \"(?P<owner>[^\"]+)\" does not have a column named \"(?P<name>[^\"]+)\""),
        (Unknown.COLUMN, r"Referenced column \"(?P<name>[^\"]+)\" not found"),
        (Unknown.COLUMN, r"column \"?(?P<name>[^\"\s]+)\"? (?:was )?not found"),
        (Unknown.ALIAS, r"Referenced table \"(?P<name>[^\"]+)\" not found"),
        (Unknown.TABLE, r"Table with name (?P<name>.+?) does not exist"),
        (Unknown.AMBIGUOUS, r"Ambiguous reference to column name \"(?P<name>[^\"]+)\""),
        (Unknown.FUNCTION, r"(?:Scalar |Aggregate |Table )?Function with name (?P<name>\S+) does not exist"),
        # PostgreSQL
        (Unknown.ALIAS, r"(?:missing|invalid reference to) FROM-clause entry for table \"(?P<name>[^\"]+)\""),
        (Unknown.AMBIGUOUS, r"column reference \"(?P<name>[^\"]+)\" is ambiguous"),
        (Unknown.TABLE, r"relation \"(?P<name>[^\"]+)\" does not exist"),
        (Unknown.FUNCTION, r"function (?P<name>[\w.]+)\(.*\) does not exist"),
        (Unknown.COLUMN, r"column (?:\"(?P<name>[^\"]+)\"|(?P<dotted>\S+)) does not exist"),
        # MySQL and MariaDB
        (Unknown.COLUMN, r"Unknown column '(?P<name>[^']+)'"),
        (Unknown.ALIAS, r"Unknown table '(?P<name>[^']+)'"),
        (Unknown.TABLE, r"Table '(?P<name>[^']+)' doesn't exist"),
        (Unknown.AMBIGUOUS, r"Column '(?P<name>[^']+)' in .* is ambiguous"),
        (Unknown.FUNCTION, r"FUNCTION (?P<name>\S+) does not exist"),
    )
)
_QUOTES = str.maketrans("", "", "\"`'[]")


def complaint_in(message: str) -> Complaint | None:
    """The complaint in a database's message; None where it names nothing that it does not know."""
    for kind, form in _FORMS:
        found = form.search(message)
        if found is None:
            continue
        parts = found.groupdict()
        said = (parts.get("name") or parts.get("dotted") or "").translate(_QUOTES).strip()
        before, _, name = said.rpartition(".")
        owner = parts.get("owner") or before.rpartition(".")[2]
        return Complaint(kind=kind, name=name, owner=owner if kind in (Unknown.COLUMN, Unknown.AMBIGUOUS) else "")
    return None
