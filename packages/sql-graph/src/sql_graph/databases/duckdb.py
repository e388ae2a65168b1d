"""DuckDB files: opened read-only, without access to anything else, in a process that is killed at the deadline.

An interrupt ends most queries; a query that ignores it (it makes a single value of two gigabytes, say) ends with its
process. A new process takes about a quarter of a second to start.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from sql_graph.databases.base import Fault, Fetched
from sql_graph.databases.duckdb_catalog import read_catalog
from sql_graph.databases.files import FileIdentity, file_identity
from sql_graph.databases.pool import Pool
from sql_graph.databases.statement import READING_WORDS, prepare
from sql_graph.errors import DatabaseUnavailableError, UnknownDialectError
from sql_graph.ports import ObservationStatus

if TYPE_CHECKING:
    from sql_graph.databases.limits import DatabaseLimits
    from sql_graph.databases.schema import Schema

WORKER = (sys.executable, "-m", "sql_graph.databases.duckdb_worker")
START_TIMEOUT_S = 30.0
MIN_ANSWER_BYTES = 1 << 20
ANSWER_FACTOR = 12
"""The most bytes of an answer for one byte of a result: JSON writes a character in up to twelve bytes."""
GRACE_S = 0.2
"""Seconds after the deadline in which an interrupted query may still answer."""


class DuckdbBackend:
    """One DuckDB file."""

    dialect = "DuckDB"

    def __init__(self, path: Path) -> None:
        if find_spec("duckdb") is None:
            raise UnknownDialectError(
                "the driver for DuckDB is not installed",
                advice="run: pip install 'sql-graph[duckdb]'",
                dialect="duckdb",
            )
        self._path = path
        self._pool: Pool[_Worker] = Pool(_Worker.stop)

    def fetch(self, sql: str, *, limits: DatabaseLimits) -> Fetched | Fault:
        statement = prepare(sql, reading=READING_WORDS | {"FROM"})
        if isinstance(statement, Fault):
            return statement
        identity = self.identity()
        idle = self._pool.take(identity)
        worker = idle or _Worker(self._path)
        try:
            worker.wait_until_ready()
            answer = worker.ask(statement, limits)
            if answer is _DIED and idle is not None:  # somebody may have ended it while it was idle
                worker.stop()
                worker = _Worker(self._path)
                worker.wait_until_ready()
                answer = worker.ask(statement, limits)
            outcome = None if answer is None else self._outcome(answer)
        except BaseException:
            worker.stop()
            raise
        if outcome is None:
            worker.stop()
            self._pool.give(_Worker(self._path), identity)  # starts while nobody waits
            return Fault(status=ObservationStatus.TIMEOUT, message=f"stopped after {limits.deadline_s:g} s")
        if worker.has_ended():
            worker.stop()
        else:
            self._pool.give(worker, identity)
        return outcome

    def _outcome(self, answer: dict[str, Any]) -> Fetched | Fault:
        """Read the worker's answer.

        Raises:
            DatabaseUnavailableError: the answer blames the file or the machine, or cannot be read.
        """
        try:
            if "unavailable" in answer:
                raise _unavailable(self._path, str(answer["unavailable"]))
            if "status" in answer:
                return Fault(status=ObservationStatus(answer["status"]), message=str(answer["message"]))
            rows = [tuple(row) for row in answer["rows"]]
            return Fetched(columns=tuple(answer["columns"]), rows=rows, more=bool(answer["more"]))
        except (KeyError, TypeError, ValueError) as error:
            raise _unreadable(self._path) from error

    def sampling_query(self, table: str, columns: list[str], *, rows: int) -> str:
        wanted = ", ".join(f"substr({name}::VARCHAR, 1, 64)" for name in columns)
        return f"SELECT {wanted} FROM {table} LIMIT {rows}"

    def read_schema(self) -> Schema:
        return read_catalog(self)

    def identity(self) -> FileIdentity:
        return file_identity(self._path)

    def close(self) -> None:
        self._pool.clear()

    def __str__(self) -> str:
        return _shown(self._path)


class _Worker:
    """A process with the file open. For one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ready = False
        self._process = subprocess.Popen(
            [*WORKER, str(path.absolute())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C must reach the parent only
        )
        self._unread = bytearray()
        self._most_bytes = MIN_ANSWER_BYTES

    def wait_until_ready(self) -> None:
        """Wait until the file is open.

        Raises:
            DatabaseUnavailableError: it cannot be opened.
        """
        if self._ready:
            return
        answer = self._read_line(time.monotonic() + START_TIMEOUT_S)
        if answer is None or "ready" not in answer:
            why = answer.get("unavailable", answer.get("message")) if answer else f"no answer in {START_TIMEOUT_S:g} s"
            raise _unavailable(self._path, str(why))
        self._ready = True

    def ask(self, sql: str, limits: DatabaseLimits) -> dict[str, Any] | None:
        """The worker's answer; None if there is none by the deadline."""
        request = {
            "sql": sql, "deadline_s": limits.deadline_s, "max_rows": limits.max_rows, "max_bytes": limits.max_bytes
        }  # fmt: skip
        ends_at = time.monotonic() + limits.deadline_s + GRACE_S
        self._most_bytes = ANSWER_FACTOR * (limits.max_bytes + MIN_ANSWER_BYTES)
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return _DIED
        return self._read_line(ends_at)

    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self._process.poll() is not None

    def stop(self) -> None:
        """Kill the process, whatever it does."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue

    def _read_line(self, ends_at: float) -> dict[str, Any] | None:
        assert self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            while not self._unread.endswith(b"\n"):  # one answer to each request
                if not selector.select(max(0.0, ends_at - time.monotonic())):
                    return None
                chunk = os.read(pipe, 1 << 16)
                if not chunk:
                    return _DIED
                self._unread += chunk
                if len(self._unread) > self._most_bytes:
                    raise _unreadable(self._path)
        line, self._unread = bytes(self._unread), bytearray()
        try:
            answer: Any = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise _unreadable(self._path) from error
        if not isinstance(answer, dict):
            raise _unreadable(self._path)
        return cast("dict[str, Any]", answer)


def _shown(path: Path) -> str:
    return f"the DuckDB database {str(path)!r}"


def _unavailable(path: Path, why: str) -> DatabaseUnavailableError:
    return DatabaseUnavailableError(
        why.splitlines()[0] if why else "no reason is given",
        action="read",
        database=_shown(path),
        advice="check the file, and that no writer has it open",
    )


def _unreadable(path: Path) -> DatabaseUnavailableError:
    return _unavailable(path, "the process that reads it gave an answer that cannot be read")


_DIED: dict[str, Any] = {
    "status": ObservationStatus.TOO_LARGE,
    "message": "the query ended the database process, most likely by the memory it needed",
}
