"""Bound the time that compiling a SQLite statement takes, and the memory that its values take.

SQLite checks no deadline while it compiles. It copies the expression of a column of a subquery, view or WITH part to
each place that names the column: ten lines of `x + x` become a thousand additions. `may_grow_far` estimates the growth
from the text, too high rather than too low. A statement that may grow far is first compiled in a process that a timer
can end.

A compiled statement shows how many values it can hold at once. The more it can hold, the shorter each may be.
"""

from __future__ import annotations

import json
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from sql_graph.databases.base import Fault
from sql_graph.databases.statement import TOKEN
from sql_graph.errors import DatabaseUnavailableError
from sql_graph.ports import ObservationStatus

MAX_GROWTH = 1_000_000
"""The largest estimate that needs no trial: the product of the names in each SELECT, times all names in the text."""
SHORT_CHARS = 300
LONG_CHARS = 8_000
"""A longer text always has a trial: SQLite compares its constants with one another, too."""
TRIAL_SHARE = 0.25
"""Share of the deadline for one compilation. There are three: the trial, the list of instructions, and the run."""
START_S = 10.0
"""How long the trial may take beyond its share, because a process has to start."""
MAX_VALUES_BYTES = 128 * 1024 * 1024
"""Bytes that all values which one statement holds at once may take together."""
_HOLDING = frozenset(
    {"AggFinal", "AggInverse", "AggStep", "AggStep1", "AggValue", "Blob", "Cast", "Column", "Concat", "Copy",
     "Function", "MakeRecord", "PureFunc", "RowData", "SorterData", "String8", "VColumn"}
)  # fmt: skip
"""Instructions of SQLite's virtual machine that can create a long value."""
_RESERVED = frozenset(
    {"ALL", "AND", "AS", "BETWEEN", "CASE", "DISTINCT", "ELSE", "EXISTS", "FROM", "GROUP", "HAVING", "IN",
     "IS", "JOIN", "LIMIT", "NOT", "NULL", "ON", "OR", "ORDER", "THEN", "UNION", "WHEN", "WHERE"}
)  # fmt: skip
_GENERATED = re.compile(r"\bAS\s*\(", re.IGNORECASE)
_WORKER = Path(__file__).with_name("compile_worker.py")


def stored_texts(schema: Iterable[tuple[str, str, str | None]]) -> dict[str, str | None]:
    """The texts that SQLite may copy into a statement, by lower-case name; rows are (type, name, sql) of the schema.

    The text of each view, and None for a table with computed columns, whose growth is not estimated.
    """
    stored: dict[str, str | None] = {}
    for kind, name, sql in schema:
        if kind == "view":
            stored[name.lower()] = (sql or "").lower()
        elif kind == "table" and sql and _GENERATED.search(sql):
            stored[name.lower()] = None
    return stored


def may_grow_far(sql: str, stored: Mapping[str, str | None]) -> bool:
    """Whether compiling the statement could take long. False is certain, True is an estimate."""
    missing = dict(stored)
    text = sql.lower()
    while named := [name for name in missing if name in text or '"' in name]:
        for name in named:
            written = missing.pop(name)
            if written is None:
                return True
            text = f"{text} {written}"
    if len(text) <= SHORT_CHARS:
        return False
    if len(text) > LONG_CHARS:
        return True
    growth = part = 1
    names = 0
    for token in TOKEN.finditer(text):
        word = token.group().upper()
        if word == "SELECT":
            growth, part = growth * part, 1
        elif word == "*" or (token.lastgroup in ("word", "name") and word not in _RESERVED):
            part, names = part + 1, names + 1
    return growth * part * names > MAX_GROWTH


def try_compiling(path: Path, sql: str, *, deadline_s: float) -> Fault | None:
    """Compile the statement in another process; return a fault if that takes too long, or too much memory.

    Raises:
        DatabaseUnavailableError: no process can be started.
    """
    seconds = deadline_s * TRIAL_SHARE
    request = json.dumps([str(path.absolute()), sql, seconds])
    try:
        ended = subprocess.run(
            [sys.executable, "-I", "-S", str(_WORKER)],
            input=request.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=seconds + START_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return _late(deadline_s)
    except OSError as error:
        raise DatabaseUnavailableError(
            f"no process can be started ({error.strerror})",
            action="compile a statement for",
            database=f"the SQLite database {str(path)!r}",
            advice="check how many processes there may be",
        ) from error
    if ended.returncode == -signal.SIGPROF:
        return _late(deadline_s)
    if ended.returncode != 0 or ended.stdout.strip() == b"memory":
        return Fault(status=ObservationStatus.TOO_LARGE, message="the query takes too much memory to compile")
    return None


def longest_value(handle: sqlite3.Connection, sql: str, *, most: int) -> int:
    """How many bytes one value may have, at most `most`, so that all values together stay within `MAX_VALUES_BYTES`.

    Raises:
        Error: of sqlite3: the statement cannot be compiled.
    """
    cursor = handle.execute(f"EXPLAIN {sql}")
    try:
        values = sum(row[3] if row[1] == "ResultRow" else row[1] in _HOLDING for row in cursor)
    finally:
        cursor.close()
    return min(most, MAX_VALUES_BYTES // max(1, values))


def _late(deadline_s: float) -> Fault:
    return Fault(status=ObservationStatus.TIMEOUT, message=f"stopped after {deadline_s:g} s, it takes long to compile")
