"""A process that compiles statements, so that compiling can be stopped: by its end.

Runs as a program by path, with the standard library alone. Each line on its input is a JSON list: database, identity of
its content, seconds, SQL. It answers with a line: `ok` or `memory`, and the processor seconds that compiling took. It
runs nothing. When the seconds are over, the system's own timer ends the process, wherever it is.
"""

import json
import signal
import sqlite3
import sys
from pathlib import Path
from time import process_time

HEAP_BYTES = 32 * 1024 * 1024
"""Memory that SQLite may take here. What compiles within it leaves room for other statements elsewhere."""
MAX_OPEN = 4
READING_PRAGMAS = frozenset({"data_version", "page_size"})
"""What SQLite's own virtual tables ask for."""


def authorize(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    """Refuse what would act while it is compiled."""
    if action == sqlite3.SQLITE_PRAGMA and second is not None and first not in READING_PRAGMAS:
        return sqlite3.SQLITE_OK if str(first).endswith(("_info", "_xinfo", "_list")) else sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK


def open_database(path: str) -> sqlite3.Connection:
    """A connection that cannot change the file."""
    uri = f"{Path(path).absolute().as_uri()}?mode=ro&immutable=1"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, cached_statements=0)
    connection.execute("PRAGMA query_only = ON")
    connection.execute(f"PRAGMA hard_heap_limit = {HEAP_BYTES}")
    connection.execute("PRAGMA cache_size = -1024")
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    connection.set_authorizer(authorize)
    return connection


def compile_statement(connection: sqlite3.Connection, sql: str) -> str:
    """Compile the statement and forget it."""
    try:
        connection(sql)
    except MemoryError:
        return "memory"
    except (sqlite3.Error, sqlite3.Warning, ValueError):
        return "ok"  # it has no meaning, which the caller will find too
    return "ok"


def main() -> None:
    """Answer until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    connections: dict[tuple[str, str], sqlite3.Connection] = {}
    for line in sys.stdin:
        path, identity, seconds, sql = json.loads(line)
        started = process_time()
        signal.setitimer(signal.ITIMER_PROF, seconds)
        try:
            connection = connections.pop((path, identity), None) or open_database(path)
            connections[path, identity] = connection
            answer = compile_statement(connection, sql)
        except (sqlite3.Error, OSError):
            answer = "ok"  # the file cannot be read, which the caller will find too
        signal.setitimer(signal.ITIMER_PROF, 0)
        if answer == "memory" or len(connections) > MAX_OPEN:
            connections.pop(next(iter(connections))).close()
        print(answer, process_time() - started, flush=True)


if __name__ == "__main__":
    main()
