"""A process that compiles one SQLite statement and runs nothing: `python compile_worker.py`, by path.

Its input is a JSON list: path of the database, SQL, processor seconds. It prints `ok` or `memory`. When the seconds are
over, a timer of the system ends the process. It imports the standard library only.
"""

import json
import signal
import sqlite3
import sys
from pathlib import Path

HEAP_BYTES = 64 * 1024 * 1024
_PRAGMAS = ("_info", "_xinfo", "_list")
_OWN_PRAGMAS = ("data_version", "page_size")
"""Pragmas that SQLite's own virtual tables run."""


def authorize(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    """Refuse a pragma that takes effect while the statement is compiled; allow what only reads."""
    reading = str(first).endswith(_PRAGMAS) or (first in _OWN_PRAGMAS and second is None)
    return sqlite3.SQLITE_OK if action != sqlite3.SQLITE_PRAGMA or reading else sqlite3.SQLITE_DENY


def main() -> None:
    """Compile the statement."""
    path, sql, seconds = json.load(sys.stdin)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    connection = sqlite3.connect(f"{Path(path).as_uri()}?mode=ro&immutable=1", uri=True, isolation_level=None)
    connection.execute(f"PRAGMA hard_heap_limit = {HEAP_BYTES}")
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    connection.set_authorizer(authorize)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        connection(sql)
    except MemoryError:
        print("memory")
        return
    except (sqlite3.Error, sqlite3.Warning, ValueError):
        pass  # the caller compiles the statement too, and gets the same error
    print("ok")


if __name__ == "__main__":
    main()
