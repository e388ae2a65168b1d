"""What a statement may do and for how long: the callbacks that SQLite asks while it compiles and runs one.

SQLite looks at its progress handler between instructions only. So besides the clock there are bounds that keep one
instruction, and one compilation, short: text may be the shorter the more functions a statement calls, patterns are
short, and the two functions that would still run long go through Python first.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from functools import cached_property
from time import perf_counter, thread_time
from typing import Final

from sql_reward.functions import ALLOWED_FUNCTIONS, SCANNING_FUNCTIONS
from sql_reward.limits import Limits
from sql_reward.temporary import bytes_written, temporary_bytes
from sql_reward.verdict import Outcome

STEPS_BETWEEN_LOOKS: Final = 200
"""SQLite instructions between two looks at the clock."""
SLOW_LOOK_S: Final = 0.003
"""When that many instructions take longer than this, the clock is looked at after each one."""
LOOK_S: Final = 0.02
"""Seconds between two looks at what only the system knows: processor time and bytes written."""
MAX_COMPILE_EVENTS: Final = 10_000
"""Tables, columns and functions that one statement may name after its views and common tables are expanded."""
CALLS_PER_CELL: Final = 20
"""Function calls that may each handle the longest text; with more of them the longest text is shorter."""
SCAN_FRACTION: Final = 5
"""Text that is searched by a pattern or another text may be this many times shorter than the longest."""
MAX_PATTERN_BYTES: Final = 250
"""Length of a LIKE or GLOB pattern: matching takes up to this many steps a byte of text."""
HIDDEN_TABLES: Final = frozenset({"sqlite_stmt"})
"""Tables that show other statements of the connection, the gold query among them."""

SMALL_BYTES: Final = 1000
"""Values that are not text, given to trim, may be this long."""

_REPEATED_CHARACTER: Final = re.compile(r"%[^%a-zA-Z]*\.([^%a-zA-Z]*)l*c")
"""A printf conversion of a character with a precision, which is how often to write it."""

SqlValue = str | int | float | bytes | None


class Guard:
    """The callbacks of one connection. Used by one thread, for one statement at a time."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.reads: set[tuple[str, str]] | None = None
        """Collects the (table, column) pairs that a statement reads, when set."""
        self.refused = ""
        """What the current statement wanted and may not do."""
        self.stopped: Outcome | None = None
        """Which limit the current statement ran into: TIMEOUT or TOO_LARGE."""
        self.stopped_by = ""
        """That limit, in words."""
        self.stalled_s = 0.0
        """Wall-clock seconds after which the current statement was given up without a verdict; 0 if it was not."""
        self._connection = connection
        self._limits = Limits()
        self._events = self._calls = self._longest = self._temp_end = 0
        self._last_look = self._next_look = self._started = self._wall_end = self._cpu_end = 0.0
        self._steps = STEPS_BETWEEN_LOOKS
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        connection.setlimit(sqlite3.SQLITE_LIMIT_WORKER_THREADS, 0)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, MAX_PATTERN_BYTES)
        connection.create_function("printf", -1, self._printf, deterministic=True)
        connection.create_function("format", -1, self._printf, deterministic=True)
        for name in ("trim", "ltrim", "rtrim"):
            connection.create_function(name, 2, self._trimmer(name), deterministic=True)
        connection.set_authorizer(self._authorize)
        connection.set_progress_handler(self._look, STEPS_BETWEEN_LOOKS)

    def begin(self, sql: str, limits: Limits, cpu_end: float) -> None:
        """Get ready for one statement, which must stop at `cpu_end` on the clock `time.thread_time`."""
        self.refused = self.stopped_by = ""
        self.stopped = None
        self.stalled_s = 0.0
        self._limits = limits
        self._events = 0
        self._calls = sql.count("||") if len(sql) > 100 else 0
        self._allow_text(min(limits.max_cell_bytes, CALLS_PER_CELL * limits.max_cell_bytes // (len(sql) // 100 + 1)))
        self._cpu_end = cpu_end
        self._started = self._last_look = now = perf_counter()
        self._wall_end = now + max(5.0, limits.stall_factor * limits.deadline_s)
        self._temp_end = 0
        self._next_look = now + min(LOOK_S, cpu_end - thread_time())

    def _allow_text(self, longest: int) -> None:
        if longest != self._longest:
            self._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, longest)
            self._longest = longest

    def _look(self) -> int:
        now = perf_counter()
        slow = now - self._last_look > SLOW_LOOK_S
        self._last_look = now
        if slow is (self._steps == STEPS_BETWEEN_LOOKS):
            self._steps = 1 if slow else STEPS_BETWEEN_LOOKS
            self._connection.set_progress_handler(self._look, self._steps)
        return 0 if now < self._next_look else self._look_closely(now)

    def _look_closely(self, now: float) -> int:
        used = thread_time()
        if used >= self._cpu_end:
            return self._stop(Outcome.TIMEOUT, "the deadline")
        if now >= self._wall_end:
            self.stalled_s = now - self._started
            return 1
        written = bytes_written()
        if not self._temp_end:
            self._temp_end = written + self._limits.max_temp_bytes
        if written > self._temp_end:
            if temporary_bytes() > self._limits.max_temp_bytes:
                return self._stop(Outcome.TOO_LARGE, "the limit on temporary bytes")
            self._temp_end = written + self._limits.max_temp_bytes
        self._next_look = now + min(LOOK_S, self._cpu_end - used)
        return 0

    def _stop(self, outcome: Outcome, by: str) -> int:
        self.stopped, self.stopped_by = outcome, by
        return 1

    def _authorize(self, action: int, first: str | None, second: str | None, _db: str | None, _by: str | None) -> int:
        self._events += 1
        if self._events > MAX_COMPILE_EVENTS:
            self._stop(Outcome.TOO_LARGE, f"the limit of {MAX_COMPILE_EVENTS} names in one statement")
            return sqlite3.SQLITE_DENY
        if not self._events & 1023 and thread_time() >= self._cpu_end:
            self._stop(Outcome.TIMEOUT, "the deadline")
            return sqlite3.SQLITE_DENY
        if action == sqlite3.SQLITE_READ:
            if first in HIDDEN_TABLES:
                return self._refuse(f"reading {first}")
            if self.reads is not None and first:
                self.reads.add((first.lower(), (second or "").lower()))
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_SELECT or action == sqlite3.SQLITE_RECURSIVE:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_FUNCTION:
            return self._authorize_function((second or "").lower())
        return self._refuse(_ACTIONS.get(action, f"action {action}"))

    def _authorize_function(self, name: str) -> int:
        if name not in ALLOWED_FUNCTIONS:
            return self._refuse(f"the function {name}")
        self._calls += 1
        longest = self._limits.max_cell_bytes
        if name in SCANNING_FUNCTIONS:
            longest //= SCAN_FRACTION
        elif self._calls <= CALLS_PER_CELL:
            return sqlite3.SQLITE_OK
        self._allow_text(min(self._longest, longest, CALLS_PER_CELL * self._limits.max_cell_bytes // self._calls))
        return sqlite3.SQLITE_OK

    def _refuse(self, what: str) -> int:
        self.refused = self.refused or what
        return sqlite3.SQLITE_DENY

    def _printf(self, *arguments: SqlValue) -> SqlValue:
        if _repeats_beyond(self._longest, arguments):
            self._stop(Outcome.TOO_LARGE, "the limit on the length of a text")
            raise ValueError("string or blob too big")
        return self._natively("printf", arguments)

    def _natively(self, function: str, arguments: tuple[SqlValue, ...]) -> SqlValue:
        """The function of SQLite itself, which the one of the same name on this connection hides."""
        self._helper.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, self._longest)
        marks = ",".join("?" * len(arguments))
        return self._helper.execute(f"SELECT {function}({marks})", arguments).fetchone()[0]

    @cached_property
    def _helper(self) -> sqlite3.Connection:
        return sqlite3.connect(":memory:", cached_statements=16)

    def _trimmer(self, name: str) -> Callable[[SqlValue, SqlValue], SqlValue]:
        def trim(text: SqlValue, unwanted: SqlValue) -> SqlValue:
            if isinstance(text, str) and isinstance(unwanted, str):
                return _trimmed(
                    text, frozenset(unwanted.partition("\0")[0]), left=name != "rtrim", right=name != "ltrim"
                )
            if max(_size(text), _size(unwanted)) > SMALL_BYTES:
                self._stop(Outcome.TOO_LARGE, "the limit on the length of a text")
                raise ValueError("string or blob too big")
            return self._natively(name, (text, unwanted))

        return trim


def _repeats_beyond(longest: int, arguments: tuple[SqlValue, ...]) -> bool:
    """Whether a %c conversion repeats its character more often: SQLite does that in a loop that no limit stops."""
    for precision in _REPEATED_CHARACTER.findall(str(arguments[0]) if arguments else ""):
        counts = arguments[1:] if "*" in precision else re.findall(r"\d+", precision)
        if any(_as_number(count) > longest for count in counts):
            return True
    return False


def _as_number(value: SqlValue) -> float:
    try:
        return abs(float(value or 0))
    except ValueError:
        return 0.0


def _trimmed(text: str, unwanted: frozenset[str], *, left: bool, right: bool) -> str:
    start, end = 0, len(text)
    while left and start < end and text[start] in unwanted:
        start += 1
    while right and start < end and text[end - 1] in unwanted:
        end -= 1
    return text[start:end]


def _size(value: SqlValue) -> int:
    return len(value) if isinstance(value, (str, bytes)) else 0


_ACTION_NAMES: Final = (
    "ALTER_TABLE ANALYZE ATTACH CREATE_INDEX CREATE_TABLE CREATE_TEMP_INDEX CREATE_TEMP_TABLE CREATE_TEMP_TRIGGER "
    "CREATE_TEMP_VIEW CREATE_TRIGGER CREATE_VIEW CREATE_VTABLE DELETE DETACH DROP_INDEX DROP_TABLE DROP_TEMP_INDEX "
    "DROP_TEMP_TABLE DROP_TEMP_TRIGGER DROP_TEMP_VIEW DROP_TRIGGER DROP_VIEW DROP_VTABLE INSERT PRAGMA REINDEX "
    "SAVEPOINT TRANSACTION UPDATE"
)
_ACTIONS: Final = {getattr(sqlite3, f"SQLITE_{name}"): name.replace("_", " ") for name in _ACTION_NAMES.split()}
"""What the authorizer's numbers mean, for the message of a refusal."""
