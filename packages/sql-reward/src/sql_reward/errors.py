"""What went wrong on our side: every one of these means "do not train on this", never "the prediction is wrong".

All are picklable (workers raise them across processes) and carry the facts as fields.
"""

from pathlib import Path


class SqlRewardError(Exception):
    """Base of all errors of this package."""


class DatabaseNotFoundError(SqlRewardError):
    """No database file where one was expected.

    `path` is the file or folder that was asked for; `expected` says what should have been there.
    """

    def __init__(self, path: Path, expected: str = "a SQLite file") -> None:
        super().__init__(path, expected)
        self.path = path
        self.expected = expected

    def __str__(self) -> str:
        return f"no database at {str(self.path)!r}: expected {self.expected}; check the path and the data"


class DatabaseUnreadableError(SqlRewardError):
    """The database file is there and cannot be trusted: corrupt, locked, half written, or unreadable."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"cannot read the database {str(self.path)!r}: {self.reason}"


class GoldSqlError(SqlRewardError):
    """The gold query gives no result to compare with.

    `gold_sql` is the query as it ran and `reason` why it gave nothing: SQLite's message, the deadline, or a limit.
    """

    def __init__(self, database: Path, gold_sql: str, reason: str) -> None:
        super().__init__(database, gold_sql, reason)
        self.database = database
        self.gold_sql = gold_sql
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"the gold query {self.gold_sql!r} gives no result on {str(self.database)!r}: {self.reason}; "
            "correct the query, leave the task out, or raise the limits"
        )


class StalledError(SqlRewardError):
    """A statement got so little processor time that nothing can be said about it.

    The deadline counts processor seconds; this is the guard in wall-clock seconds behind it, hit only when the machine
    is overloaded or its storage hangs. A verdict here would depend on the load, so there is none.
    """

    def __init__(self, database: Path, waited_s: float) -> None:
        super().__init__(database, waited_s)
        self.database = database
        self.waited_s = waited_s

    def __str__(self) -> str:
        return (
            f"a statement on {str(self.database)!r} was given up after {self.waited_s:.1f} s on the wall clock, before "
            "it had used its deadline in processor time; lower the number of workers or check the storage"
        )


class MachineError(SqlRewardError):
    """The machine could not run a statement: a full disk, no temporary folder, no memory, no process.

    `database` is the file that was asked, `reason` what the machine said. It says nothing about the statement.
    """

    def __init__(self, database: Path, reason: str) -> None:
        super().__init__(database, reason)
        self.database = database
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"this machine cannot run a statement on {str(self.database)!r}: {self.reason}; "
            "make room on its disks (SQLite sorts in SQLITE_TMPDIR, TMPDIR or /tmp) or in its memory, then run it again"
        )


class LimitsError(SqlRewardError, ValueError):
    """A limit or a scale was set to a value that cannot work.

    `name` is the parameter, `value` what it was given, `expected` what it takes, `advice` the next step.
    """

    def __init__(self, name: str, value: object, expected: str, advice: str) -> None:
        super().__init__(name, value, expected, advice)
        self.name = name
        self.value = value
        self.expected = expected
        self.advice = advice

    def __str__(self) -> str:
        return f"{self.name} must be {self.expected}, got {self.value!r}; {self.advice}"


class InputError(SqlRewardError):
    """A file given to a command cannot be used.

    `path` is the file or folder, `reason` what is wrong with it, `advice` the next step, and `line` the number of the
    line at fault, 0 if it is the whole file.
    """

    def __init__(self, path: Path, reason: str, advice: str, *, line: int = 0) -> None:
        super().__init__(path, reason, advice)
        self.path = path
        self.reason = reason
        self.advice = advice
        self.line = line

    def __str__(self) -> str:
        where = f"line {self.line} of {str(self.path)!r}" if self.line else repr(str(self.path))
        return f"cannot use {where}: {self.reason}; {self.advice}"


class OutputError(SqlRewardError):
    """A file of results cannot be written: `path` is the file, `reason` the system's, `advice` the next step."""

    def __init__(self, path: Path, reason: str, advice: str) -> None:
        super().__init__(path, reason, advice)
        self.path = path
        self.reason = reason
        self.advice = advice

    def __str__(self) -> str:
        return f"cannot write {str(self.path)!r}: {self.reason}; {self.advice}"
