"""Read the official question files as they come: Spider's JSON, or Parquet as the tutorial's bundle has it.

JSON is decoded one record at a time, because the official training file carries a parse tree with each
query and would fill a few hundred megabytes at once. Every fault names the file, the record and the key.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from spider_data.errors import RecordInvalidError, SourceNotFoundError, TaskInvalidError
from spider_data.parquet import read_tasks
from spider_data.spider.hardness import hardness_of
from spider_data.storage import reading
from spider_data.task import Hardness, SpiderTask, Split, task_id


def read_questions(path: Path, *, stem: str, split: Split) -> list[SpiderTask]:
    """The tasks of one question file, in its order; ids are made from `stem` and the record's position.

    A record needs `db_id`, `question` and `query`; a null question becomes the empty text, so that positions
    keep their meaning. Hardness comes from `hardness`, else from the parse tree `sql`, else it is unknown.

    Raises:
        SourceNotFoundError, SourceUnreadableError: there is no such file, or it cannot be read.
        RecordInvalidError: the file is no JSON list, or a record lacks a key or has another type of value.
        SchemaMismatchError: a Parquet file without the columns of a task.
    """
    if not path.is_file():
        raise SourceNotFoundError(f"no question file {str(path)!r}; give its place by option", path=path)
    if path.suffix == ".parquet":
        return [
            SpiderTask(
                task_id=task_id(stem, row),
                db_id=task.db_id,
                question=task.question,
                query=task.query,
                split=split,
                hardness=task.hardness,
            )
            for row, task in enumerate(read_tasks(path))
        ]
    return [_task(path, row, record, stem, split) for row, record in enumerate(_records(path))]


def _task(path: Path, row: int, record: Any, stem: str, split: Split) -> SpiderTask:
    if not isinstance(record, dict):
        raise _invalid(path, row, "", f"expected an object, found {record!r:.80}")
    record = cast("dict[str, Any]", record)
    texts: dict[str, str] = {}
    for key in ("db_id", "question", "query"):
        if key not in record:
            raise _invalid(path, row, key, f"the key {key!r} is missing; found {', '.join(record)}")
        value = record[key]
        if value is None and key == "question":
            value = ""
        if not isinstance(value, str) or (not value.strip() and key != "question"):
            raise _invalid(path, row, key, f"{key!r} must be text, found {value!r:.80}")
        texts[key] = value
    given = record.get("hardness") or ""
    if given not in set(Hardness):
        raise _invalid(path, row, "hardness", f"'hardness' must be easy, medium, hard or extra, found {given!r:.80}")
    parsed = record.get("sql")
    level = Hardness(given) or (hardness_of(parsed) if parsed else Hardness.UNKNOWN)
    try:
        return SpiderTask(task_id=task_id(stem, row), split=split, hardness=level, **texts)
    except TaskInvalidError as error:
        raise _invalid(path, row, error.field, str(error)) from error


def _records(path: Path) -> Iterator[Any]:
    """The members of a JSON list, one by one."""
    try:
        with reading(path):
            text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise _invalid(path, 0, "", f"not UTF-8 text ({error.reason} at byte {error.start})") from error
    decoder = json.JSONDecoder()
    at = _skip(text, 0)
    if text[at : at + 1] != "[":
        raise _invalid(path, 0, "", f"expected a JSON list, found {text[at : at + 20]!r}")
    at = _skip(text, at + 1)
    row = 0
    while text[at : at + 1] != "]":
        try:
            record, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            raise _invalid(path, row, "", f"broken JSON ({error.msg} at character {error.pos})") from error
        yield record
        row += 1
        at = _skip(text, at)
        if text[at : at + 1] == ",":
            at = _skip(text, at + 1)
        elif text[at : at + 1] != "]":
            raise _invalid(path, row, "", f"broken JSON: the list ends early at character {at}")


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _invalid(path: Path, row: int, key: str, what: str) -> RecordInvalidError:
    return RecordInvalidError(
        f"{str(path)!r}, record {row} (counted from 0): {what}; get the file again or mend that record",
        path=path,
        row=row,
        key=key,
    )
