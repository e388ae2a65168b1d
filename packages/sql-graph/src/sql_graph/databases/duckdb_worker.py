"""The process in which DuckDB runs: `python -m sql_graph.databases.duckdb_worker FILE`.

DuckDB looks at an interrupt only between steps, and its memory limit does not hold for a single value, so a query is
run where it can be killed. Requests and answers are lines of JSON on standard input and output; end of input ends the
process. The database is opened read-only, with no access to other files, to the network or to settings.
"""

from __future__ import annotations

import contextlib
import json
import sys
import threading
from typing import Any

import duckdb

MEMORY_LIMIT_BYTES = 2 << 30
ADDRESS_SPACE_BYTES = 6 << 30
SHOWN_BLOB_BYTES = 16
_SETTINGS: dict[str, Any] = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "temp_directory": "",
    "memory_limit": f"{MEMORY_LIMIT_BYTES // (1 << 20)}MiB",
    "lock_configuration": "true",
}


def main() -> None:
    """Open the file named on the command line, say so in one line, then answer requests until input ends."""
    _limit_memory()
    try:
        connection = duckdb.connect(sys.argv[1], read_only=True, config=_SETTINGS)
    except duckdb.Error as error:
        _say({"unavailable": str(error)})
        return
    _say({"ready": True})
    for line in sys.stdin:
        request = json.loads(line)
        timer = threading.Timer(request["deadline_s"], connection.interrupt)
        timer.start()
        try:
            answer = _answer(connection, **request)
        finally:
            timer.cancel()
        _say(answer)


def _answer(
    connection: duckdb.DuckDBPyConnection, *, sql: str, deadline_s: float, max_rows: int, max_bytes: int
) -> dict[str, Any]:
    try:
        statements = connection.extract_statements(sql)
        if len(statements) != 1 or statements[0].type.name != "SELECT":
            kind = statements[0].type.name if len(statements) == 1 else f"{len(statements)} statements"
            return {"status": "refused", "message": f"only one SELECT statement can be run here, this is {kind}"}
        try:
            return _rows(connection.execute(sql), max_rows, max_bytes)
        except duckdb.InvalidInputException as error:
            if "pytz" not in str(error):
                raise
            # Python cannot hold a time with zone without another package; text can.
            return _rows(connection.execute(f"SELECT COLUMNS(*)::VARCHAR FROM ({sql}\n)"), max_rows, max_bytes)
    except duckdb.InterruptException:
        return {"status": "timeout", "message": f"stopped after {deadline_s:g} s"}
    except (duckdb.OutOfMemoryException, MemoryError):
        return {"status": "too_large", "message": "the query needs too much memory"}
    except duckdb.Error as error:
        refused = "read-only mode" in str(error) or isinstance(error, duckdb.PermissionException)
        return {"status": "refused" if refused else "error", "message": _words(error)}
    except Exception as error:  # noqa: BLE001  a value that the driver cannot turn into a Python object
        return {"status": "error", "message": f"a value of the result cannot be read: {error}"}
    finally:
        with contextlib.suppress(duckdb.Error):
            connection.execute("ROLLBACK")


def _rows(cursor: duckdb.DuckDBPyConnection, max_rows: int, max_bytes: int) -> dict[str, Any]:
    columns = [item[0] for item in cursor.description or ()]
    rows: list[list[Any]] = []
    size = 0
    while (row := cursor.fetchone()) is not None:
        cells = [_cell(value) for value in row]
        size += sum(len(cell) for cell in cells if isinstance(cell, str))
        if len(rows) == max_rows or size > max_bytes:
            if not rows:
                return {"status": "too_large", "message": f"one row is larger than {max_bytes} bytes"}
            return {"columns": columns, "rows": rows, "more": True}
        rows.append(cells)
    return {"columns": columns, "rows": rows, "more": False}


def _cell(value: Any) -> str | bool | None:
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, bytes):
        return f"x'{value[:SHOWN_BLOB_BYTES].hex()}{'…' if len(value) > SHOWN_BLOB_BYTES else ''}'"
    return str(value)


def _words(error: Exception) -> str:
    """The message without the picture of the query, and without the kind of error before the first colon."""
    return str(error).split("\n\nLINE ")[0].partition("Error: ")[2] or str(error)


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # not on this system; the memory limit of DuckDB itself remains
        return
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES))


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
