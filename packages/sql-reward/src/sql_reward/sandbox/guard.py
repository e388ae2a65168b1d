"""What a statement may do and for how long: the callbacks that SQLite asks while it compiles and runs one.

SQLite looks at its progress handler between instructions only. So besides the clock there are bounds that keep one
instruction, and one compilation, short: text may be the shorter the more functions a statement calls, patterns are
short, and the two functions that would still run long go through Python first.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from time import perf_counter, thread_time
from typing import Final

from sql_reward.sandbox.functions import ALLOWED_FUNCTIONS, SCANNING_FUNCTIONS
from sql_reward.sandbox.limits import Limits
from sql_reward.sandbox.natives import install
from sql_reward.sandbox.statement import Statement
from sql_reward.sandbox.temporary import bytes_written, temporary_bytes
from sql_reward.verdict import Outcome

STEPS_BETWEEN_LOOKS: Final = 200
"""SQLite instructions between two looks at the clock."""
STEPS_WHEN_QUICK: Final = 1_000
"""The same in a statement without functions, once its first instructions have shown to be quick."""
QUICK_STEP_S: Final = 1e-6
"""An instruction that takes no longer than this is quick."""
STEPS_WHILE_SCANNING: Final = 50
"""The same in a statement that searches texts, of which a few instructions can take long."""
SLOW_LOOK_S: Final = 0.003
"""When that many instructions take longer than this, the clock is looked at after each one."""
LOOK_S: Final = 0.02
"""Seconds between two looks at what only the system knows: processor time and bytes written."""
MAX_COMPILE_EVENTS: Final = 10_000
"""Tables, columns and functions that one statement may name after its views and common tables are expanded."""
EVENTS_BETWEEN_LOOKS: Final = 1_024
"""As many of them between two looks at the clock."""
CALLS_PER_CELL: Final = 20
"""Function calls that may each handle the longest text; with more of them the longest text is shorter."""
CHARS_PER_CALL: Final = 100
"""Before a statement is compiled, it counts as one call for so many characters."""
SCAN_FRACTION: Final = 20
"""Text that is searched by a pattern or another text may be this many times shorter than the longest."""
MAX_PATTERN_BYTES: Final = 250
"""Length of a LIKE or GLOB pattern: matching takes up to this many steps a byte of text."""
KEPT_STATEMENTS: Final = 64
"""Compiled statements that a connection keeps: a gold query that runs again is not compiled again."""
MAX_SEEN: Final = 1_000
"""Statements of a connection of which it is remembered what compiling them showed."""
READING_PRAGMAS: Final = frozenset(
    {"table_info", "table_xinfo", "table_list", "foreign_key_list", "index_list", "index_info", "index_xinfo"}
)
"""Pragmas that a statement may read as a table, as in `pragma_table_info('singer')`."""
TABLE_FUNCTIONS: Final = (
    "json_each('[]')", "json_tree('[]')", "jsonb_each('[]')", "jsonb_tree('[]')", "generate_series(1, 1)",
    *(f"pragma_{name}" for name in sorted(READING_PRAGMAS)),
)  # fmt: skip
"""Tables that SQLite computes. All others, such as dbstat and sqlite_stmt, stay unmade, and so refused."""
_OWN_PRAGMAS: Final = frozenset({"data_version"})
"""What SQLite's own full-text search asks for while it reads."""

_OK, _READ, _SELECT = sqlite3.SQLITE_OK, sqlite3.SQLITE_READ, sqlite3.SQLITE_SELECT
"""Asked for each name in each statement, so they are looked up once."""


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
        self.longest = 0
        """Length that a text may have in the current statement, in bytes."""
        self._connection = connection
        self._limits = Limits()
        self._sql = ""
        self._events = self._calls = self._known_calls = self._temp_end = 0
        self._last_look = self._next_look = self._started = self._cpu_end = 0.0
        self._steps = self._usual_steps = STEPS_BETWEEN_LOOKS
        self._tables_made = False
        self._marked = False
        """Whether any of the first four is set."""
        self._scans = False
        """Whether the current statement searches texts."""
        self._seen: dict[str, tuple[int, bool]] = {}
        """How many functions a statement calls, and whether it searches texts, if it does any of it: asked only while
        it is compiled, and needed when the connection has kept it compiled."""
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        connection.setlimit(sqlite3.SQLITE_LIMIT_WORKER_THREADS, 0)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, MAX_PATTERN_BYTES)
        install(connection, self)
        connection.set_authorizer(self._authorize)
        connection.set_progress_handler(self._look, STEPS_BETWEEN_LOOKS)

    def begin(self, statement: Statement, limits: Limits, *, cpu_left: float, cpu_end: float) -> None:
        """Get ready for one statement, which must stop at `cpu_end`, `cpu_left` away, on the clock of the thread."""
        if self._events and (self._calls or self._scans):
            self._note()
        if self._marked:
            self._clear()
        self._limits = limits
        self._events = self._temp_end = 0
        self._sql = sql = statement.sql
        if statement.is_plain and sql not in self._seen:
            self._calls = self._known_calls = 0
            self._scans = False
            self._usual_steps = STEPS_BETWEEN_LOOKS
            if self.longest != limits.max_cell_bytes:
                self._allow_text(limits.max_cell_bytes)
        else:
            self._begin_with_calls(statement)
        self._cpu_end = cpu_end
        self._started = self._last_look = now = perf_counter()
        self._next_look = now + (LOOK_S if cpu_left > LOOK_S else cpu_left)

    def _begin_with_calls(self, statement: Statement) -> None:
        """The same for one that calls functions, joins texts, is long, or names tables that SQLite computes."""
        if statement.names_computed_tables and not self._tables_made:
            self.make_computed_tables()
        self._calls = statement.calls
        self._known_calls, self._scans = self._seen.get(statement.sql, (0, False))
        longest = self._longest_text(len(statement.sql))
        if longest != self.longest:
            self._allow_text(longest)
        self._usual_steps = STEPS_WHILE_SCANNING if self._scans else STEPS_BETWEEN_LOOKS
        if self._steps > self._usual_steps and (self._calls or self._known_calls):
            self._look_every(self._usual_steps)

    def _clear(self) -> None:
        """Forget why the statement before was ended or refused."""
        self._marked = False
        self.refused = self.stopped_by = ""
        self.stopped = None
        self.stalled_s = 0.0

    def _longest_text(self, chars: int) -> int:
        """How long a text may be in a statement of so many characters, by what is known of it before it is compiled."""
        cell = self._limits.max_cell_bytes
        longest = min(cell, CALLS_PER_CELL * cell // (chars // CHARS_PER_CALL + 1))
        if self._scans:
            longest = min(longest, cell // SCAN_FRACTION)
        if self._known_calls > CALLS_PER_CELL:
            longest = min(longest, CALLS_PER_CELL * cell // self._known_calls)
        return longest

    def _note(self) -> None:
        """Remember what compiling the latest statement showed."""
        if len(self._seen) >= MAX_SEEN:
            self.forget()
        self._seen[self._sql] = (self._calls, self._scans)

    def forget(self) -> None:
        """Have every statement compiled again, and thereby authorized again."""
        self._seen.clear()
        self._events = 0
        self._connection.set_authorizer(self._authorize)  # SQLite lets all compiled statements expire

    def make_computed_tables(self) -> None:
        """Make the tables that SQLite computes, so that statements can read them."""
        self.make_tables(TABLE_FUNCTIONS)
        self._tables_made = True

    def make_tables(self, sources: Iterable[str]) -> None:
        """Let SQLite make these virtual tables, which to the authorizer looks like a changed schema."""
        self._connection.set_authorizer(None)
        for source in sources:
            with suppress(sqlite3.Error):  # this build of SQLite has none: then it cannot be read either
                self._connection.execute(f"SELECT 1 FROM {source} LIMIT 0").close()
        self._connection.set_authorizer(self._authorize)

    def _allow_text(self, longest: int) -> None:
        self._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, longest)
        self.longest = longest

    def _look_every(self, steps: int) -> None:
        self._steps = steps
        self._connection.set_progress_handler(self._look, steps)

    def _look(self) -> int:
        now = perf_counter()
        took = now - self._last_look
        self._last_look = now
        if took > SLOW_LOOK_S:
            wanted = 1
        elif took <= QUICK_STEP_S * self._steps and not (self._calls or self._known_calls):
            wanted = STEPS_WHEN_QUICK
        else:
            wanted = self._usual_steps
        if wanted != self._steps:
            self._look_every(wanted)
        return 0 if now < self._next_look else self._look_closely(now)

    def _look_closely(self, now: float) -> int:
        used = thread_time()
        if used >= self._cpu_end:
            return self.stop(Outcome.TIMEOUT, "the deadline")
        if now >= self._started + max(5.0, self._limits.stall_factor * self._limits.deadline_s):
            self.stalled_s = now - self._started
            self._marked = True
            return 1
        written = bytes_written()
        if not self._temp_end:
            self._temp_end = written + self._limits.max_temp_bytes
        if written > self._temp_end:
            left = self._limits.max_temp_bytes - temporary_bytes()
            if left < 0:
                return self.stop(Outcome.TOO_LARGE, "the limit on temporary bytes")
            self._temp_end = written + left
        self._next_look = now + min(LOOK_S, self._cpu_end - used)
        return 0

    def is_overdue(self) -> bool:
        """Whether the current statement's time is up."""
        return thread_time() >= self._cpu_end

    def stop(self, outcome: Outcome, by: str) -> int:
        """Note why the current statement is being ended."""
        self.stopped, self.stopped_by = outcome, by
        self._marked = True
        return 1

    def _authorize(self, action: int, first: str | None, second: str | None, _db: str | None, _by: str | None) -> int:
        self._events = events = self._events + 1
        if events >= EVENTS_BETWEEN_LOOKS and self._is_too_much(events):
            return sqlite3.SQLITE_DENY
        if action == _READ:
            if self.reads is not None and first:
                self.reads.add((first.lower(), (second or "").lower()))
            return _OK
        if action == _SELECT or action == sqlite3.SQLITE_RECURSIVE:
            return _OK
        if action == sqlite3.SQLITE_FUNCTION:
            return self._authorize_function((second or "").lower())
        if action == sqlite3.SQLITE_PRAGMA and (first in READING_PRAGMAS or (first in _OWN_PRAGMAS and not second)):
            return _OK
        return self._refuse(_ACTIONS.get(action, f"action {action}"))

    def _is_too_much(self, events: int) -> bool:
        """Whether compiling has to end here."""
        if events > MAX_COMPILE_EVENTS:
            self.stop(Outcome.TOO_LARGE, f"the limit of {MAX_COMPILE_EVENTS} names in one statement")
        elif not events % EVENTS_BETWEEN_LOOKS and self.is_overdue():
            self.stop(Outcome.TIMEOUT, "the deadline")
        return self.stopped is not None

    def _authorize_function(self, name: str) -> int:
        if name not in ALLOWED_FUNCTIONS:
            return self._refuse(f"the function {name}")
        self._calls += 1
        longest = self._limits.max_cell_bytes
        scans = name in SCANNING_FUNCTIONS
        if scans:
            longest //= SCAN_FRACTION
            self._scans = True
            self._usual_steps = STEPS_WHILE_SCANNING
        if self._steps > self._usual_steps:
            self._look_every(self._usual_steps)
        if scans or self._calls > CALLS_PER_CELL:
            longest = min(self.longest, longest, CALLS_PER_CELL * self._limits.max_cell_bytes // self._calls)
            if longest != self.longest:
                self._allow_text(longest)
        return _OK

    def _refuse(self, what: str) -> int:
        self.refused = self.refused or what
        self._marked = True
        return sqlite3.SQLITE_DENY


_ACTION_NAMES: Final = (
    "ALTER_TABLE ANALYZE ATTACH CREATE_INDEX CREATE_TABLE CREATE_TEMP_INDEX CREATE_TEMP_TABLE CREATE_TEMP_TRIGGER "
    "CREATE_TEMP_VIEW CREATE_TRIGGER CREATE_VIEW CREATE_VTABLE DELETE DETACH DROP_INDEX DROP_TABLE DROP_TEMP_INDEX "
    "DROP_TEMP_TABLE DROP_TEMP_TRIGGER DROP_TEMP_VIEW DROP_TRIGGER DROP_VIEW DROP_VTABLE INSERT PRAGMA REINDEX "
    "SAVEPOINT TRANSACTION UPDATE"
)
_ACTIONS: Final = {getattr(sqlite3, f"SQLITE_{name}"): name.replace("_", " ") for name in _ACTION_NAMES.split()}
"""What the authorizer's numbers mean, for the message of a refusal."""
