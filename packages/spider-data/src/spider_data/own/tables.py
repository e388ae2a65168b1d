"""Read tables of questions as data frames: delimited text, Excel workbooks, Parquet.

Every cell keeps its value in the file: `1e5`, `NA` and `TRUE` are texts, a number of a workbook is a number. pandas is
imported only here. It reads workbooks and Parquet. Delimited text is read by `csv` in strict mode, because
`pandas.read_csv` drops a stray quote without a message and does not report the line on which a record begins.
"""

from __future__ import annotations

import csv
import io
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from spider_data.errors import Problem
from spider_data.records import decode, field_of
from spider_data.storage import reading

if TYPE_CHECKING:
    import pandas as pd  # pyright: ignore[reportMissingTypeStubs]  pandas ships no stubs

TEXT_ENDINGS = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".psv": "|", ".txt": "\t"}
"""Endings of delimited text with their usual delimiter; the heading decides."""
WORKBOOK_ENDINGS = (".xlsx", ".xlsm")
PARQUET_ENDING = ".parquet"

_DELIMITERS = (",", ";", "\t", "|")
_SEP_LINE = re.compile(r'"?sep=(.)"?(?:\r\n|\r|\n)', re.IGNORECASE)
"""The line that Excel writes and reads above a table with an unusual delimiter."""

_WORKBOOK_FAULTS = (
    *(ValueError, KeyError, TypeError, AttributeError, IndexError, OSError, EOFError, SyntaxError, NotImplementedError),
    *(zipfile.BadZipFile, zlib.error),
)
"""The errors of openpyxl on a file that is not a workbook, or is damaged; it has few error classes of its own."""


@dataclass(kw_only=True)
class Table:
    """The rows of a question table, with the faults of the table itself."""

    frame: pd.DataFrame | None = None
    """Columns are the task's fields, the index is the line or row; rows without any value are left out."""
    unit: str = "line"
    problems: list[Problem] = field(default_factory=list[Problem])
    notes: list[str] = field(default_factory=list[str])

    def records(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Line or row, and the cells that have a value."""
        if self.frame is None:
            return
        for number, *cells in self.frame.itertuples(name=None):
            values = dict(zip(self.frame.columns, cells, strict=True))
            yield int(number), {name: cell for name, cell in values.items() if not _is_missing(cell)}

    def refuse(self, text: str, number: int = 0) -> Table:
        """The same table with one more fault."""
        self.problems.append(Problem(number=number, text=text, unit=self.unit))
        return self


def read_table(path: Path) -> Table:
    """Read a table by its ending.

    Raises:
        SourceUnreadableError: the operating system refuses to read it.
    """
    ending = path.suffix.lower()
    if ending in WORKBOOK_ENDINGS:
        return _workbook(path)
    if ending == PARQUET_ENDING:
        return _parquet(path)
    with reading(path):
        raw = path.read_bytes()
    return _delimited(raw, TEXT_ENDINGS[ending])


def _delimited(raw: bytes, usual: str) -> Table:
    table = Table()
    if raw.startswith(b"PK\x03\x04"):
        return table.refuse("the file is a workbook or a zip, not text; name it .xlsx")
    try:
        text, is_windows = decode(raw, windows=True)
    except UnicodeDecodeError as error:
        return table.refuse(f"the file is not text in UTF-8, UTF-16 or Windows-1252 ({error.reason})")
    if is_windows:
        table.notes.append("the file is not UTF-8 and was read as Windows-1252; look at its letters beyond ASCII")
    given = _SEP_LINE.match(text.removeprefix("\ufeff"))
    first = 1
    if given:
        text, first = text[given.end() :], 2
    delimiters = [given[1]] if given else sorted(_DELIMITERS, key=lambda one: one != usual)
    delimiter = next((one for one in delimiters if _is_heading(_first_row(text, one))), delimiters[0])
    rows: list[Sequence[object]] = []
    numbers: list[int] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True, skipinitialspace=True)
    number = first
    try:
        for row in reader:
            rows.append(row)
            numbers.append(number)
            number = reader.line_num + first
    except csv.Error as error:
        table.refuse(f"not CSV ({error})", number)
    return _framed(table, rows, numbers)


def _first_row(text: str, delimiter: str) -> list[str]:
    try:
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
        return next((row for row in rows if any(cell.strip() for cell in row)), list[str]())
    except csv.Error:
        return []


def _workbook(path: Path) -> Table:
    """The one sheet that has the heading; Excel's rows are counted from 1, as Excel shows them."""
    pandas = import_module("pandas")
    table = Table(unit="row")
    try:
        with reading(path):
            raw = path.read_bytes()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # openpyxl warns of drop-down lists and styles, which do not matter here
            sheets = pandas.read_excel(
                io.BytesIO(raw), sheet_name=None, header=None, dtype=object, na_filter=False, engine="openpyxl"
            )
    except _WORKBOOK_FAULTS as error:
        return table.refuse(f"the file cannot be read as a workbook ({error}); save it again as .xlsx")
    found: dict[str, list[Sequence[object]]] = {}
    for name, sheet in sheets.items():
        rows = cast("list[Sequence[object]]", sheet.values.tolist())
        filled = (row for row in rows if not all(map(_is_missing, row)))
        heading = next(filled, cast("Sequence[object]", ()))
        if _is_heading(heading) or len(sheets) == 1:
            found[str(name)] = rows
    if len(found) != 1:
        which = ", ".join(map(repr, found or sheets))
        what = "several sheets have a heading with question and query" if found else "no sheet has such a heading"
        return table.refuse(f"{what} ({which}); keep the questions in one sheet, with question, query and db_id on top")
    (rows,) = found.values()
    return _framed(table, rows, range(1, len(rows) + 1))


def _parquet(path: Path) -> Table:
    pandas = import_module("pandas")
    table = Table(unit="row")
    try:
        with reading(path):
            raw = io.BytesIO(path.read_bytes())
        names = cast("list[str]", import_module("pyarrow.parquet").ParquetFile(raw).schema_arrow.names)
        if not _is_heading(names):
            return table.refuse(_wrong_heading(names))
        frame = pandas.read_parquet(raw, columns=[name for name in names if field_of(name)])
    except (ValueError, OSError) as error:  # ArrowInvalid is a ValueError
        return table.refuse(f"the file cannot be read as Parquet ({error})")
    frame = frame.astype(object).where(frame.notna(), None)
    rows = [list(frame.columns), *frame.values.tolist()]
    return _framed(table, rows, range(len(rows)))


def _framed(table: Table, rows: Sequence[Sequence[object]], numbers: Sequence[int]) -> Table:
    """The rows below the heading as a frame of the task's fields; `numbers` are their positions in the file."""
    pandas = import_module("pandas")
    place = next((place for place, row in enumerate(rows) if not all(map(_is_missing, row))), None)
    heading = rows[place] if place is not None else ()
    if place is None or not _is_heading(heading):
        if not table.problems:
            table.refuse(_wrong_heading(heading), numbers[place] if place is not None else 1)
        return table
    fields = [field_of(str(name)) for name in heading]
    twice = sorted({name for name in fields if name and fields.count(name) > 1})
    if twice:
        return table.refuse(f"the heading names {', '.join(twice)} twice; keep one column of each", numbers[place])
    wanted = [column for column, name in enumerate(fields) if name]
    kept: list[list[object]] = []
    index: list[int] = []
    for number, row in zip(numbers[place + 1 :], rows[place + 1 :], strict=True):
        if all(map(_is_missing, row)):
            continue
        extra = [cell for cell in row[len(heading) :] if not _is_missing(cell)]
        if extra:
            table.refuse(f"{len(extra)} values more than the header has; quote texts that hold the delimiter", number)
            continue
        kept.append([row[column] if column < len(row) else None for column in wanted])
        index.append(number)
    table.frame = pandas.DataFrame(kept, columns=[fields[column] for column in wanted], index=index, dtype=object)
    return table


def _is_heading(cells: Sequence[object]) -> bool:
    return {"question", "query"} <= {field_of(cell) for cell in cells if isinstance(cell, str)}


def _wrong_heading(cells: Sequence[object]) -> str:
    shown = ", ".join(str(cell) for cell in cells if not _is_missing(cell)) or "empty"
    return f"the header is {shown:.120}; expected question, query (or sql) and db_id"


def _is_missing(cell: object) -> bool:
    """Whether a cell has no value: blank, or what pandas puts where a file has none."""
    return cell is None or (isinstance(cell, float) and isnan(cell)) or (isinstance(cell, str) and not cell.strip())
