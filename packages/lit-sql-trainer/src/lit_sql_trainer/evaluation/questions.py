"""Reads and checks the questions and their databases, and identifies both by digests of their content."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from lit_sql_trainer.data import check_databases, read_split
from lit_sql_trainer.errors import DataError, EmptySplitError, MissingSplitError
from spider_data import DatabaseCatalog, SpiderTask


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """One split of one data folder, or its first N questions; every database that they name exists."""

    folder: Path
    split: str
    tasks: tuple[SpiderTask, ...]

    @property
    def db_ids(self) -> tuple[str, ...]:
        """The databases that the questions are about, sorted."""
        return tuple(sorted({task.db_id for task in self.tasks}))

    def digest(self) -> str:
        """A digest of ids, databases, questions and gold queries, in order."""
        digest = hashlib.blake2b(digest_size=16)
        for task in self.tasks:
            for part in (task.task_id, task.db_id, task.question, task.query):
                digest.update(part.encode() + b"\0")
        return digest.hexdigest()

    def databases_digest(self) -> str:
        """A digest of the content of every database file that a verdict may depend on, variants included."""
        catalog = DatabaseCatalog(self.folder)
        digest = hashlib.blake2b(digest_size=16)
        for db_id in self.db_ids:
            for file in catalog.suite(db_id):
                digest.update(f"{db_id}/{file.name}\0".encode())
                with file.open("rb") as stream:
                    digest.update(hashlib.file_digest(stream, "blake2b").digest())
        return digest.hexdigest()

    def unseen(self) -> frozenset[str] | None:
        """Databases that training does not ask about; None when there is no training split, or no such database."""
        seen = training_databases(self.folder)
        if not seen or self.split == "train":
            return None
        unseen = frozenset(self.db_ids) - seen
        return unseen or None


def read_questions(folder: Path, split: str, *, limit: int | None = None) -> Questions:
    """The questions of a split, the first `limit` of them when given.

    Raises:
        DataError: the folder, the split or a database is missing, or there is no question.
    """
    tasks = read_split(folder, split, limit=limit)
    check_databases(folder, tasks)
    task_id, count = Counter(task.task_id for task in tasks).most_common(1)[0]
    if count > 1:
        file = str(folder / f"{split}.parquet")
        raise DataError(f"{file!r} has the task id {task_id!r} twice: give each question its own")
    return Questions(folder=folder, split=split, tasks=tasks)


def training_databases(folder: Path) -> frozenset[str]:
    """The databases of the training split; empty when there is no such split."""
    try:
        return frozenset(task.db_id for task in read_split(folder, "train"))
    except (MissingSplitError, EmptySplitError):
        return frozenset()
