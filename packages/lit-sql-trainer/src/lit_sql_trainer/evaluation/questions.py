"""Reads and checks the questions and their databases, and identifies both by digests of their content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lit_sql_trainer.errors import DataError
from spider_data import DatabaseCatalog, SpiderDataError, SpiderTask, read_tasks


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
    file = folder / f"{split}.parquet"
    if not folder.is_dir():
        raise DataError(f"no data folder {str(folder)!r}: make one with `spider-data convert`, `import` or `mini`")
    if not file.is_file():
        there = ", ".join(sorted(path.stem for path in folder.glob("*.parquet"))) or "none"
        raise DataError(f"data folder {str(folder)!r} has no split {split!r} ({file.name}); splits there: {there}")
    try:
        tasks = tuple(read_tasks(file, limit))
    except SpiderDataError as error:
        raise DataError(str(error)) from error
    if not tasks:
        raise DataError(f"{str(file)!r} holds no question: choose another split, or make the data again")
    check_databases(folder, tasks)
    _check_ids(file, tasks)
    return Questions(folder=folder, split=split, tasks=tasks)


def check_databases(folder: Path, tasks: Iterable[SpiderTask]) -> None:
    """Check that every database that the tasks name exists.

    Raises:
        DataError: some are missing; the error names them.
    """
    catalog = DatabaseCatalog(folder)
    missing = sorted(db_id for db_id in {task.db_id for task in tasks} if db_id not in catalog)
    if missing:
        shown = ", ".join(missing[:5]) + (", …" if len(missing) > 5 else "")
        raise DataError(
            f"{len(missing)} databases are missing under {str(folder)!r}: {shown}; expected "
            f"database/<db_id>/<db_id>.sqlite, see `spider-data check`"
        )


def training_databases(folder: Path) -> frozenset[str]:
    """The databases of the training split; empty when there is no such split."""
    file = folder / "train.parquet"
    if not file.is_file():
        return frozenset()
    try:
        return frozenset(task.db_id for task in read_tasks(file))
    except SpiderDataError as error:
        raise DataError(str(error)) from error


def _check_ids(file: Path, tasks: Sequence[SpiderTask]) -> None:
    seen: set[str] = set()
    for task in tasks:
        if task.task_id in seen:
            raise DataError(f"{str(file)!r} has the task id {task.task_id!r} twice: give each question its own")
        seen.add(task.task_id)
