"""Read and write task files in Parquet, with a checked schema.

Reads what this package writes and what the tutorial's converter writes (`db_id`, `question`, `query`
and nothing else). Column types are checked before any row; an error names the first bad row. pyarrow ships no type
information, and is loaded by name at its first use.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from importlib import import_module
from itertools import accumulate
from pathlib import Path
from typing import Any, cast

from spider_data.errors import SchemaMismatchError, TaskInvalidError
from spider_data.storage import MAKE_DATA, StrPath, new_file, require_file
from spider_data.task import COLUMNS, SpiderTask, split_of, task_id

NEEDED = ("question", "query", "db_id")
"""The tutorial's columns; a file without one of them is not a task file."""

_MAY_BE_NULL = ("split", "hardness")


def read_tasks(path: StrPath, limit: int | None = None) -> list[SpiderTask]:
    """The tasks of one Parquet file in file order, the first `limit` of them when given.

    A file without `task_id` gets ids from its name and row, one without `split` the split of its name
    (`train_spider.parquet` is train), one without `hardness` no hardness; in these two columns null means unknown.
    Other columns are ignored.

    Raises:
        SourceNotFoundError: there is no such file.
        SchemaMismatchError: not a Parquet file, a needed column is missing or not text, a value is null or unusable.
    """
    path = Path(path)
    table = _read(path)
    if limit is not None:
        table = table.slice(0, max(limit, 0))
    present = [name for name in COLUMNS if name in table.column_names]
    columns = {name: cast("list[object]", table.column(name).to_pylist()) for name in present}
    split = str(split_of(path.stem))
    tasks: list[SpiderTask] = []
    for row in range(table.num_rows):
        values: dict[str, object] = {"task_id": task_id(path.stem, row), "split": split}
        for name in present:
            value = columns[name][row]
            if value is None and name in _MAY_BE_NULL:
                value = ""
            if value is None:
                reason = f"column {name!r} is null, expected text; drop that row or write '' if the text is unknown"
                raise SchemaMismatchError(path=path, column=name, found="null", row=row, reason=reason)
            values[name] = value
        try:
            tasks.append(SpiderTask.from_row(values))
        except TaskInvalidError as error:
            found = repr(values.get(error.field))
            raise SchemaMismatchError(path=path, column=error.field, found=found, row=row, reason=str(error)) from error
    return tasks


def write_tasks(path: StrPath, tasks: Iterable[SpiderTask]) -> None:
    """Write tasks to a Parquet file of string columns; equal tasks give equal bytes.

    The file appears under its name only when it is complete.

    Raises:
        DiskFullError, TargetUnwritableError: the file cannot be written there.
    """
    pa, pq = import_module("pyarrow"), import_module("pyarrow.parquet")

    path = Path(path)
    rows = [task.to_row() for task in tasks]
    schema = pa.schema([pa.field(name, pa.string(), nullable=False) for name in COLUMNS])
    table = pa.Table.from_arrays([_strings(pa, [str(row[name]) for row in rows]) for name in COLUMNS], schema=schema)
    with new_file(path) as part:
        pq.write_table(table, str(part), compression="snappy", store_schema=False)


def _strings(pa: Any, values: Sequence[str]) -> Any:
    """An Arrow array of texts. `pa.array` would import pandas (a second) to find out whether it got a series."""
    encoded = [value.encode() for value in values]
    offsets = array("i", accumulate(map(len, encoded), initial=0))
    return pa.StringArray.from_buffers(len(encoded), pa.py_buffer(offsets.tobytes()), pa.py_buffer(b"".join(encoded)))


def _read(path: Path) -> Any:
    """The columns that a task has, as an Arrow table; their types are checked before any data are read."""
    require_file(path, wanted="task file", advice=MAKE_DATA)
    try:
        # Not `read_table`: it imports pandas, and makes a column of a folder called `split=train` in the path.
        with import_module("pyarrow.parquet").ParquetFile(str(path)) as file:
            schema = file.schema_arrow
            for column in NEEDED:
                if column not in schema.names:
                    reason = f"no column {column!r}; expected {', '.join(NEEDED)}, found {', '.join(schema.names)}"
                    raise SchemaMismatchError(path=path, column=column, found="", reason=f"{reason}: {MAKE_DATA}")
            present = [name for name in COLUMNS if name in schema.names]
            for column in present:
                _check_text(path, column, schema.field(column).type)
            return file.read(columns=present)
    except (ValueError, OSError) as error:  # ArrowInvalid is a ValueError
        reason = f"it cannot be read as Parquet ({error}); make the file again"
        raise SchemaMismatchError(path=path, column="", found="", reason=reason) from error


def _check_text(path: Path, column: str, kind: Any) -> None:
    pt = import_module("pyarrow.types")

    if pt.is_dictionary(kind):
        kind = kind.value_type
    if column in _MAY_BE_NULL and pt.is_null(kind):
        return
    if pt.is_string(kind) or pt.is_large_string(kind) or pt.is_string_view(kind):
        return
    reason = f"column {column!r} is {kind}, expected string; cast it to text and write the file again"
    raise SchemaMismatchError(path=path, column=column, found=str(kind), reason=reason)
