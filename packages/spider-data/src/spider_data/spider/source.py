"""Read the question files of Spider and related data sets: JSON as a list or as lines, or Parquet.

A list is decoded one record at a time, because the official training file holds a parse tree for each query and would
take a few hundred megabytes at once. Every error names the file, the record and the key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from spider_data.errors import RecordInvalidError, TaskInvalidError
from spider_data.parquet import read_tasks
from spider_data.records import decode, fields_of, json_items
from spider_data.spider.hardness import hardness_of
from spider_data.storage import reading, require_file
from spider_data.task import Hardness, SpiderTask, Split, task_id


def read_questions(paths: Sequence[Path], *, stem: str, split: Split) -> list[SpiderTask]:
    """The tasks of one question file or of all its shards, in order; ids are made from `stem` and the position.

    A record needs `db_id`, `question` (Spider-Syn: `SpiderSynQuestion`) and `query` (BIRD: `SQL`); a null question
    becomes an empty text, so that positions do not change. Hardness comes from `hardness`, else from the
    parse tree `sql`, else it is unknown.

    Raises:
        SourceNotFoundError, SourceUnreadableError: there is no such file, or it cannot be read.
        RecordInvalidError: the file holds no records, or a record lacks a key or has another type of value.
        SchemaMismatchError: a Parquet file without the columns of a task.
    """
    tasks: list[SpiderTask] = []
    for path in paths:
        require_file(path, wanted="question file", advice="check the source folder")
        tasks += read_tasks(path) if path.suffix == ".parquet" else _json_tasks(path, stem, split)
    if not tasks:
        raise _invalid(paths[0], 0, "", "the file has no record; expected at least one question")
    return [replace(task, task_id=task_id(stem, row), split=split) for row, task in enumerate(tasks)]


def _json_tasks(path: Path, stem: str, split: Split) -> list[SpiderTask]:
    with reading(path):
        raw = path.read_bytes()
    try:
        text, _ = decode(raw)
    except UnicodeDecodeError as error:
        raise _invalid(path, 0, "", f"not UTF-8 text ({error.reason} at byte {error.start})") from error
    del raw
    tasks: list[SpiderTask] = []
    for row, item in enumerate(json_items(text)):
        if item.fault:
            raise _invalid(path, row, "", f"{item.fault}, on line {item.line}")
        if not isinstance(item.value, dict):
            expected = "expected an object" if row else "expected a JSON list of objects, or one object a line"
            raise _invalid(path, row, "", f"{expected}, found {item.value!r:.80}")
        tasks.append(_task(path, row, cast("dict[str, Any]", item.value), stem, split))
    return tasks


def _task(path: Path, row: int, record: Mapping[str, Any], stem: str, split: Split) -> SpiderTask:
    fields, faults = fields_of(record)
    if faults:
        raise _invalid(path, row, "", faults[0])
    texts: dict[str, str] = {}
    for key in ("db_id", "question", "query"):
        if key not in fields:
            raise _invalid(path, row, key, f"the key {key!r} is missing; found {', '.join(record)}")
        value = fields[key]
        if value is None and key == "question":
            value = ""
        if not isinstance(value, str) or (not value.strip() and key != "question"):
            raise _invalid(path, row, key, f"{key!r} must be text, found {value!r:.80}")
        texts[key] = value
    given = fields.get("hardness") or ""
    if not isinstance(given, str) or given not in set(Hardness):
        raise _invalid(path, row, "hardness", f"'hardness' must be easy, medium, hard or extra, found {given!r:.80}")
    parsed = record.get("sql")
    level = Hardness(given)
    if not level and isinstance(parsed, dict):
        level = hardness_of(cast("dict[str, Any]", parsed))
    try:
        return SpiderTask(task_id=task_id(stem, row), split=split, hardness=level, **texts)
    except TaskInvalidError as error:
        raise _invalid(path, row, error.field, str(error)) from error


def _invalid(path: Path, row: int, key: str, reason: str) -> RecordInvalidError:
    return RecordInvalidError(path=path, row=row, key=key, reason=reason)
