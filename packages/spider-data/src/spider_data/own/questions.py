"""Read a user's question file and collect all of its faults for one error.

A row needs `question`, `query` (or `sql`), and `db_id` unless there is only one database; `split` and
`hardness` are kept where given. Capitals and blanks in the names do not matter. Another
module checks whether the queries run.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from spider_data.errors import Problem, QuestionsInvalidError, TaskInvalidError
from spider_data.own.tables import PARQUET_ENDING, TEXT_ENDINGS, WORKBOOK_ENDINGS, read_table
from spider_data.records import decode, fields_of, json_items
from spider_data.storage import reading, require_file
from spider_data.task import SpiderTask, task_id

JSON_ENDINGS = (".jsonl", ".ndjson", ".json")
ENDINGS = (*JSON_ENDINGS, *TEXT_ENDINGS, *WORKBOOK_ENDINGS, PARQUET_ENDING)
"""The files that can be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A task and its place in the file."""

    number: int
    """Line or row of the file, counted from 1."""
    task: SpiderTask


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionFile:
    """The tasks and the faults of a question file."""

    lines: tuple[Line, ...]
    problems: tuple[Problem, ...]
    repeated: int
    """Lines left out because an earlier one has the same question, query and database."""
    notes: tuple[str, ...] = ()
    unit: str = "line"
    """What the numbers count: `line` or `row`."""


def read_question_file(path: Path, db_ids: Collection[str]) -> QuestionFile:
    """Read all lines, the broken ones too; `db_ids` are the databases that a line may name.

    JSON may be a list or one object a line; text may be delimited by `,` `;` `|` or tabs, in UTF-8, UTF-16 or
    Windows-1252; a workbook has one sheet with the heading.

    Raises:
        SourceNotFoundError, SourceUnreadableError: there is no such file, or it cannot be read.
        QuestionsInvalidError: the kind of the file is unknown.
    """
    require_file(path, wanted="question file", advice=f"expected a file that ends in {', '.join(ENDINGS)}")
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        known = ", ".join(ENDINGS)
        problem = Problem(
            number=0, text=f"the name ends in {ending!r}; expected one of {known}: save it as one of these"
        )
        raise QuestionsInvalidError(path=path, problems=(problem,))
    problems: list[Problem] = []
    notes: tuple[str, ...] = ()
    unit = "line"
    if ending in JSON_ENDINGS:
        records = _json_records(path, problems)
    else:
        table = read_table(path)
        problems, notes, unit = table.problems, tuple(table.notes), table.unit
        records = table.records()
    lines: list[Line] = []
    repeated = 0
    seen: set[tuple[str, str, str]] = set()
    for number, record in records:
        found = _task(path.stem, len(lines), record, db_ids)
        if isinstance(found, str):
            problems.append(Problem(number=number, text=found, unit=unit))
        elif (key := (found.db_id, found.question, found.query)) in seen:
            repeated += 1
        else:
            seen.add(key)
            lines.append(Line(number=number, task=found))
    return QuestionFile(lines=tuple(lines), problems=tuple(problems), repeated=repeated, notes=notes, unit=unit)


def _json_records(path: Path, problems: list[Problem]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Line and object of each record; anything else becomes one of the `problems`."""
    with reading(path):
        raw = path.read_bytes()
    try:
        text, _ = decode(raw)
    except UnicodeDecodeError as error:
        problems.append(Problem(number=0, text=f"the file is not UTF-8 text: {error.reason}"))
        return
    for item in json_items(text):
        if item.fault:
            problems.append(Problem(number=item.line, text=item.fault))
        elif isinstance(item.value, dict):
            yield item.line, cast("dict[str, Any]", item.value)
        else:
            problems.append(Problem(number=item.line, text=f"expected an object, found {item.value!r:.60}"))


def _task(stem: str, position: int, record: Mapping[str, Any], db_ids: Collection[str]) -> SpiderTask | str:
    fields, faults = fields_of(record)
    values = {name: fields.get(name) for name in ("question", "query", "db_id")}
    if values["db_id"] is None and len(db_ids) == 1:
        values["db_id"] = next(iter(db_ids))
    if type(values["db_id"]) is int and str(values["db_id"]) in db_ids:  # a workbook's 2021 is a number
        values["db_id"] = str(values["db_id"])
    faults += [
        f"{name!r} is {'missing' if value is None else format(repr(value), '.60')}, expected text"
        for name, value in values.items()
        if not isinstance(value, str) or not value.strip()
    ]
    db_id = values["db_id"].strip() if isinstance(values["db_id"], str) else ""
    if db_id and db_id not in db_ids:
        near = difflib.get_close_matches(db_id, db_ids, n=1)
        faults.append(f"no database {db_id!r} here" + (f"; did you mean {near[0]!r}?" if near else ""))
    if faults:
        return "; ".join(faults)
    row = {"task_id": task_id(stem, position), "db_id": db_id}
    row |= {name: str(values[name]).strip() for name in ("question", "query")}
    row |= {name: fields.get(name) or "" for name in ("split", "hardness")}
    try:
        return SpiderTask.from_row(row)
    except TaskInvalidError as error:
        return str(error)
