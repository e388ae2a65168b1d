"""The process in which DuckDB runs: `python -m sql_graph.databases.duckdb_worker FILE`.

DuckDB checks for an interrupt only between steps, and its memory limit does not cover a single value, so a query runs
in a process that can be killed. Requests and answers are lines of JSON on standard input and output. DuckDB itself
cannot reach these two, because a query can make it write there. End of input ends the process. The database is opened
read-only, with no access to other files, to the network or to settings. Each query has a session of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import threading
from typing import IO, Any

import duckdb

MEMORY_LIMIT_BYTES = 2 << 30
ADDRESS_SPACE_BYTES = 6 << 30
SHOWN_BLOB_BYTES = 16
ALLOWED_TABLE_FUNCTIONS = frozenset(
    {
        "duckdb_columns", "duckdb_constraints", "duckdb_databases", "duckdb_dependencies", "duckdb_extensions",
        "duckdb_functions", "duckdb_indexes", "duckdb_keywords", "duckdb_memory", "duckdb_optimizers",
        "duckdb_schemas", "duckdb_sequences", "duckdb_settings", "duckdb_tables", "duckdb_temporary_files",
        "duckdb_types", "duckdb_variables", "duckdb_views", "generate_series", "histogram", "histogram_values",
        "icu_calendar_names", "json_each", "json_tree", "pg_timezone_names", "pragma_collations",
        "pragma_database_size", "pragma_metadata_info", "pragma_platform", "pragma_show", "pragma_storage_info",
        "pragma_table_info", "pragma_user_agent", "pragma_version", "range", "repeat", "repeat_row", "summary",
        "unnest",
    }
)  # fmt: skip
"""Table functions of DuckDB that read only the database or their arguments."""
REFUSED_FUNCTIONS = frozenset({"currval", "nextval", "setseed", "write_log"})
"""Scalar functions that change something outside the query."""
_TABLE_FUNCTIONS = (
    "SELECT DISTINCT function_name FROM duckdb_functions()"
    " WHERE function_type IN ('table', 'pragma') OR (function_type = 'table_macro' AND internal)"
)
_FUNCTION_NAME = re.compile(r'"function_name":("(?:[^"\\]|\\.)*")')
_SETTINGS: dict[str, Any] = {
    "enable_external_access": "false",
    "python_enable_replacements": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "temp_directory": "",
    "memory_limit": f"{MEMORY_LIMIT_BYTES // (1 << 20)}MiB",
    "lock_configuration": "true",
}


def main() -> None:
    """Open the file named on the command line, say so in one line, then answer requests until input ends."""
    with _private(0, "r") as requests, _private(1, "w") as answers:
        _limit_memory()
        try:
            connection = duckdb.connect(sys.argv[1], read_only=True, config=_SETTINGS)
            functions = connection.execute(_TABLE_FUNCTIONS).fetchall()
        except duckdb.Error as error:
            _say(answers, {"unavailable": str(error)})
            return
        refused = {str(name).lower() for (name,) in functions} - ALLOWED_TABLE_FUNCTIONS | REFUSED_FUNCTIONS
        _say(answers, {"ready": True})
        for line in requests:
            request = json.loads(line)
            with connection.cursor() as session:
                timer = threading.Timer(request["deadline_s"], session.interrupt)
                timer.start()
                try:
                    answer = _answer(session, refused, **request)
                finally:
                    timer.cancel()
            _say(answers, answer)


def _private(descriptor: int, mode: str) -> IO[str]:
    """Move a standard descriptor to a number that only this module knows; the old one then leads to the null device."""
    kept = os.dup(descriptor)
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
    return os.fdopen(kept, mode, encoding="utf-8")


def _answer(
    session: duckdb.DuckDBPyConnection,
    refused: set[str],
    *,
    sql: str,
    deadline_s: float,
    max_rows: int,
    max_bytes: int,
) -> dict[str, Any]:
    try:
        statements = session.extract_statements(sql)
        if len(statements) != 1 or statements[0].type.name != "SELECT":
            kind = statements[0].type.name if len(statements) == 1 else f"{len(statements)} statements"
            return {"status": "refused", "message": f"only one SELECT statement can be run here, this is {kind}"}
        if found := _functions(session, sql) & refused:
            return {"status": "refused", "message": f"the function {min(found)} is not allowed, only reading is"}
        try:
            return _rows(session.execute(sql), max_rows, max_bytes)
        except duckdb.InvalidInputException as error:
            if "pytz" not in str(error):
                raise
            # Python cannot hold a time with zone without another package; text can.
            return _rows(session.execute(f"SELECT COLUMNS(*)::VARCHAR FROM ({sql}\n)"), max_rows, max_bytes)
    except duckdb.InterruptException:
        return {"status": "timeout", "message": f"stopped after {deadline_s:g} s"}
    except (duckdb.OutOfMemoryException, MemoryError):
        return {"status": "too_large", "message": "the query needs too much memory"}
    except (duckdb.IOException, duckdb.FatalException, duckdb.SerializationException) as error:
        return {"unavailable": _words(error)}
    except duckdb.Error as error:
        denied = "read-only mode" in str(error) or isinstance(error, duckdb.PermissionException)
        return {"status": "refused" if denied else "error", "message": _words(error)}
    except Exception as error:  # noqa: BLE001  a value that the driver cannot turn into a Python object
        return {"status": "error", "message": f"a value of the result cannot be read: {error}"}


def _functions(session: duckdb.DuckDBPyConnection, sql: str) -> set[str]:
    """Lower-case names of all functions in a statement, as DuckDB's own parser finds them.

    Raises:
        PermissionException: of DuckDB: its parser does not name them.
    """
    # Not as a parameter: DuckDB imports pandas, which takes seconds, when it is given one.
    found = session.execute("SELECT json_serialize_sql('{}')".format(sql.replace("'", "''"))).fetchone()
    tree = str(found[0]) if found else ""
    if not tree.startswith('{"error":false'):
        raise duckdb.PermissionException("DuckDB's parser does not name the functions that this statement calls")
    # A quotation mark inside a text is escaped there, so this finds fields of the tree and nothing else.
    return {str(json.loads(name)).lower() for name in _FUNCTION_NAME.findall(tree)}


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


def _say(stream: IO[str], answer: dict[str, Any]) -> None:
    stream.write(json.dumps(answer) + "\n")
    stream.flush()


if __name__ == "__main__":
    main()
