"""A task: one question with its gold query, as a row of a Parquet file.

This module reads no files. A row is flat and holds only strings, so a rollout store and HF datasets keep it unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from spider_data.errors import TaskInvalidError

E = TypeVar("E", bound=StrEnum)


class Split(StrEnum):
    """The part of a benchmark that a task belongs to."""

    TRAIN = "train"
    VALIDATION = "validation"
    """Held out from the training data by this package; for choosing checkpoints."""
    DEV = "dev"
    """Spider's own development set; for reporting."""
    TEST = "test"
    UNKNOWN = ""


class Hardness(StrEnum):
    """Spider's four levels, as its evaluator computes them from the parsed gold query."""

    EASY = "easy"
    MEDIUM = "medium"
    HARD = "hard"
    EXTRA = "extra"
    UNKNOWN = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpiderTask:
    """A question about one database, and the query that answers it."""

    task_id: str
    """Unique within a data folder: the source file's stem and the row in it, `dev-00017`."""
    db_id: str
    """Names the database: see `DatabaseCatalog`."""
    question: str
    """The question. Empty when the source has no text for it."""
    query: str
    """The gold SQL. Never shown to a policy."""
    split: Split = Split.UNKNOWN
    hardness: Hardness = Hardness.UNKNOWN

    def __post_init__(self) -> None:
        for name in ("task_id", "db_id", "query"):
            if not getattr(self, name):
                reason = f"{name!r} is empty; every task needs an id, a database and a gold query"
                raise TaskInvalidError(task_id=self.task_id, field=name, reason=reason)
        for name in ("task_id", "db_id", "question", "query"):
            if not _is_text(getattr(self, name)):
                reason = (
                    f"{name!r} holds half a character (a lone surrogate), which no file can store; correct the text"
                )
                raise TaskInvalidError(task_id=self.task_id, field=name, reason=reason)
        # Plain strings are accepted, so that a row from any source can be read.
        object.__setattr__(self, "split", _member(Split, self.split, "split", self.task_id))
        object.__setattr__(self, "hardness", _member(Hardness, self.hardness, "hardness", self.task_id))

    def to_row(self) -> dict[str, str | int]:
        """The task as a flat dict of plain strings, with the columns of the Parquet files in their order."""
        return {
            "task_id": self.task_id,
            "db_id": self.db_id,
            "question": self.question,
            "query": self.query,
            "split": str(self.split),
            "hardness": str(self.hardness),
        }

    @classmethod
    def from_row(cls, row: Mapping[str, object]) -> SpiderTask:
        """Read a row back; keys that a task does not have are ignored, `split` and `hardness` may be absent.

        Raises:
            TaskInvalidError: a needed key is missing or is not text, or a value is outside its closed set.
        """
        values: dict[str, str] = {}
        for name in ("task_id", "db_id", "question", "query"):
            value = row.get(name)
            if not isinstance(value, str):
                reason = f"row with keys {sorted(row)}: {name!r} must be text, got {value!r}"
                raise TaskInvalidError(task_id="", field=name, reason=f"{reason}; read task files with `read_tasks`")
            values[name] = value
        return cls(
            task_id=values["task_id"],
            db_id=values["db_id"],
            question=values["question"],
            query=values["query"],
            split=_member(Split, row.get("split") or "", "split", values["task_id"]),
            hardness=_member(Hardness, row.get("hardness") or "", "hardness", values["task_id"]),
        )


COLUMNS = ("task_id", "db_id", "question", "query", "split", "hardness")
"""The columns of every Parquet file, all of them strings."""


def task_id(stem: str, row: int) -> str:
    """The id of row `row` (from 0) of the file called `stem`: the same each time it is read."""
    return f"{stem}-{row:05d}"


def split_of(stem: str) -> Split:
    """The split in a task file's name; `UNKNOWN` when it names none."""
    for split in (Split.TRAIN, Split.VALIDATION, Split.DEV, Split.TEST):
        if stem == split or stem.startswith(f"{split}_"):
            return split
    return Split.UNKNOWN


def _is_text(value: str) -> bool:
    """Whether the value can be written as UTF-8. JSON can contain lone surrogates, `"\\ud83d"`."""
    return value.isascii() or not any("\ud800" <= character <= "\udfff" for character in value)


def _member(kind: type[E], value: object, field: str, of: str) -> E:
    try:
        return kind(value)  # pyright: ignore[reportArgumentType]  the enum itself refuses what is not text
    except ValueError as error:
        allowed = ", ".join(repr(str(member)) for member in kind)
        reason = f"{field} is {value!r}; expected one of {allowed}"
        raise TaskInvalidError(task_id=of, field=field, reason=reason) from error
