"""A result as a table of PyArrow or pandas, or as a CSV file. The libraries, an extra, are imported late."""

from __future__ import annotations

import csv
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sql_graph.cells import cell_string
from sql_graph.errors import MissingExtraError, UsageError

if TYPE_CHECKING:
    import pandas  # pyright: ignore[reportMissingTypeStubs]  pandas ships no stubs

Rows = Sequence[Sequence[Any]]


def arrow_table(columns: Sequence[str], rows: Rows) -> Any:
    """The rows as a `pyarrow.Table`. A column that has no one type there (SQLite lets values be of any) becomes text.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    pyarrow = _library("pyarrow", purpose="to_arrow")
    arrays = [_arrow_column(pyarrow.array, [row[i] for row in rows]) for i in range(len(columns))]
    return pyarrow.table(arrays, names=list(columns))


def data_frame(columns: Sequence[str], rows: Rows) -> pandas.DataFrame:
    """The rows as a data frame of pandas' nullable types: a column of whole numbers stays whole beside NULL.

    Raises:
        MissingExtraError: pandas is not installed.
    """
    library = _library("pandas", purpose="to_pandas")
    cells = [[row[i] for row in rows] for i in range(len(columns))]
    frame = library.DataFrame({i: _pandas_column(library, column) for i, column in enumerate(cells)})
    frame.columns = list(columns)  # set last: two may have one name
    return frame


def _pandas_column(library: Any, cells: list[Any]) -> Any:
    if {type(cell) for cell in cells if cell is not None} == {int}:
        try:
            return library.array(cells, dtype="Int64")  # `convert_dtypes` would go through floats
        except OverflowError:
            return library.Series(cells, dtype=object)
    return library.Series(cells, dtype=object).convert_dtypes()


def _library(module: str, *, purpose: str) -> Any:
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise MissingExtraError(purpose=purpose, module=module, extra="frames") from None


def write_csv(columns: Sequence[str], rows: Rows, target: Path | None) -> None:
    """Write a header and the rows as CSV in UTF-8, lines ended by `\\n`: a whole file, or nothing.

    NULL is an empty cell, as is an empty text. None as the target is standard output; a target that is no regular
    file, such as a named pipe, is written to as it is.

    Raises:
        UsageError: the file cannot be written.
    """
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([cell_string(cell) for cell in row] for row in rows)
    data = text.getvalue().encode("utf-8", "surrogateescape")
    if target is None:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)  # bytes: a stream that is not UTF-8 must not change what a database holds
        sys.stdout.buffer.flush()
        return
    try:
        if target.exists() and not target.is_file():
            target.write_bytes(data)
        else:
            _replace(target, data)
    except OSError as error:
        raise UsageError(
            f"cannot write {str(target)!r}: {error.strerror or error}", argument="--csv", advice="choose another file"
        ) from error


def _replace(target: Path, data: bytes) -> None:
    """Write beside the target, then move: a reader sees the old file or the whole new one."""
    target = target.resolve()  # a link stays a link
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~_umask()
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(mode)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _umask() -> int:
    """The process's mask of permissions, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _arrow_column(array: Callable[..., Any], cells: list[Any]) -> Any:
    kinds: set[type[Any]] = {type(cell) for cell in cells if cell is not None}
    if kinds <= {int, float} or len(kinds) <= 1:
        try:
            return array(cells)
        except (TypeError, ValueError, OverflowError):  # pyarrow's own errors are kinds of these
            pass
    return array([None if cell is None else cell_string(cell) for cell in cells])
