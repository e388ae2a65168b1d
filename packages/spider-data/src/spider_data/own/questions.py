"""Read somebody's question file, JSONL or CSV, and collect every fault in it before complaining.

A row needs `question`, `query` (or `sql`), and `db_id` unless there is only one database; `split` and
`hardness` are kept where given. Whether the queries run is asked elsewhere.
"""

from __future__ import annotations

import csv
import difflib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from spider_data.errors import QuestionsInvalidError, SourceNotFoundError, TaskInvalidError
from spider_data.storage import reading
from spider_data.task import SpiderTask, task_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A task and where it stands."""

    number: int
    """Line of the file, counted from 1."""
    task: SpiderTask


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is wrong with a line."""

    number: int
    """Line of the file, counted from 1; 0 when the whole file is meant."""
    text: str

    def __str__(self) -> str:
        return f"line {self.number}: {self.text}" if self.number else self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionFile:
    """What a question file holds, good and bad."""

    lines: tuple[Line, ...]
    problems: tuple[Problem, ...]
    repeated: int
    """Lines left out because an earlier one has the same question, query and database."""


def read_question_file(path: Path, db_ids: Collection[str]) -> QuestionFile:
    """Read all lines, the broken ones too; `db_ids` are the databases that a line may name.

    Raises:
        SourceNotFoundError, SourceUnreadableError: there is no such file, or it cannot be read.
        QuestionsInvalidError: the file as a whole is of no known kind.
    """
    if not path.is_file():
        raise SourceNotFoundError(f"no question file {str(path)!r}; expected a .jsonl or .csv file", path=path)
    readers = {".jsonl": _jsonl, ".ndjson": _jsonl, ".csv": _csv}
    if path.suffix.lower() not in readers:
        raise QuestionsInvalidError(
            f"{str(path)!r} ends in {path.suffix!r}; expected .jsonl (one object a line) or .csv (with a header)",
            path=path,
            problems=(),
        )
    lines: list[Line] = []
    problems: list[Problem] = []
    repeated = 0
    seen: set[tuple[str, str, str]] = set()
    try:
        for number, record in readers[path.suffix.lower()](path):
            found = record if isinstance(record, str) else _task(path.stem, len(lines), record, db_ids)
            if isinstance(found, str):
                problems.append(Problem(number=number, text=found))
            elif (key := (found.db_id, found.question, found.query)) in seen:
                repeated += 1
            else:
                seen.add(key)
                lines.append(Line(number=number, task=found))
    except UnicodeDecodeError as error:
        problems.append(Problem(number=0, text=f"the file is not UTF-8 text: {error.reason}"))
    return QuestionFile(lines=tuple(lines), problems=tuple(problems), repeated=repeated)


def _jsonl(path: Path) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    with reading(path), path.open(encoding="utf-8-sig") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except json.JSONDecodeError as error:
                yield number, f"not JSON ({error.msg} at column {error.colno})"
                continue
            yield number, record if isinstance(record, dict) else f"expected an object, found {line.strip():.60}"


def _csv(path: Path) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    """Records with the line they begin on; a text in quotes may run over several."""
    number = 1
    with reading(path), path.open(encoding="utf-8-sig", newline="") as stream:
        rows = csv.DictReader(stream, strict=True)
        try:
            header = rows.fieldnames or []
            if "question" not in header or not {"query", "sql"} & set(header):
                yield 1, f"the header is {', '.join(header) or 'empty'}; expected question, query and db_id"
                return
            number = rows.line_num + 1
            for row in rows:
                if None in row:
                    extra = cast("list[str]", row[None])  # pyright: ignore[reportArgumentType]  what is beyond the header
                    yield number, f"{len(extra)} values more than the header has; quote texts that hold commas"
                else:
                    yield number, row
                number = rows.line_num + 1
        except csv.Error as error:
            yield number, f"not CSV ({error})"


def _task(stem: str, position: int, record: Mapping[str, Any], db_ids: Collection[str]) -> SpiderTask | str:
    question = record.get("question")
    query = record.get("query") or record.get("sql")
    db_id = record.get("db_id") or (next(iter(db_ids)) if len(db_ids) == 1 else None)
    faults = [
        f"{name!r} is {'missing' if value is None else repr(value)}, expected text"
        for name, value in (("question", question), ("query", query), ("db_id", db_id))
        if not isinstance(value, str) or not value.strip()
    ]
    if isinstance(db_id, str) and db_id.strip() and db_id not in db_ids:
        near = difflib.get_close_matches(db_id, db_ids, n=1)
        faults.append(f"no database {db_id!r} here" + (f"; did you mean {near[0]!r}?" if near else ""))
    if faults:
        return "; ".join(faults)
    try:
        return SpiderTask.from_row(
            {
                "task_id": task_id(stem, position),
                "db_id": db_id,
                "question": str(question).strip(),
                "query": str(query).strip(),
                "split": record.get("split") or "",
                "hardness": record.get("hardness") or "",
            }
        )
    except TaskInvalidError as error:
        return str(error)
