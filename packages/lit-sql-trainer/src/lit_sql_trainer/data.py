"""Loads the training data: checks the data folder before anything expensive begins.

Each error names one problem and the next step.
"""

from __future__ import annotations

import hashlib
import importlib.resources
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lit_sql_trainer.errors import (
    DataError,
    EmptySplitError,
    MissingDatabasesError,
    MissingSplitError,
    NoDataFolderError,
)
from spider_data import DatabaseCatalog, SpiderDataError, SpiderTask, mini_benchmark, read_tasks

CACHE_VARIABLE = "LIT_SQL_CACHE"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingData:
    """The tasks of one data folder; every database that they name exists."""

    folder: Path
    train: tuple[SpiderTask, ...]
    validation: tuple[SpiderTask, ...]


def load_data(folder: Path, *, train_tasks: int | None = None, validation_tasks: int | None = None) -> TrainingData:
    """Read the training and validation splits, or only the first tasks of each when a number is given.

    Raises:
        DataError: the folder, a split or a database is missing, or a split is empty.
    """
    data = TrainingData(
        folder=folder,
        train=read_split(folder, "train", limit=train_tasks),
        validation=read_split(folder, "validation", limit=validation_tasks),
    )
    check_databases(folder, (*data.train, *data.validation))
    return data


def read_split(folder: Path, split: str, *, limit: int | None = None) -> tuple[SpiderTask, ...]:
    """The tasks of a split, the first `limit` of them when given; never none.

    Raises:
        NoDataFolderError, MissingSplitError, EmptySplitError: there is nothing to read.
        DataError: the file is no task file.
    """
    file = folder / f"{split}.parquet"
    if not folder.is_dir():
        raise NoDataFolderError(folder=folder)
    if not file.is_file():
        there = sorted(path.stem for path in folder.glob("*.parquet"))
        raise MissingSplitError(folder=folder, split=split, there=tuple(there))
    try:
        tasks = tuple(read_tasks(file, limit))
    except SpiderDataError as error:
        raise DataError(str(error)) from error
    if not tasks:
        raise EmptySplitError(file=file)
    return tasks


def check_databases(folder: Path, tasks: Iterable[SpiderTask]) -> None:
    """Check that every database that the tasks name exists.

    Raises:
        MissingDatabasesError: some are missing.
    """
    catalog = DatabaseCatalog(folder)
    wanted = {task.db_id for task in tasks}
    missing = sorted(db_id for db_id in wanted if db_id not in catalog)
    if missing:
        raise MissingDatabasesError(folder=folder, missing=tuple(missing), wanted=len(wanted))


def embedded_data(cache: Path | None = None) -> Path:
    """The folder of the embedded benchmark, built at first use.

    It lives in `cache`, else in the folder that LIT_SQL_CACHE names, else in the user's cache folder. Its name holds
    a digest of the code and data that make it, so another version makes another folder.

    Raises:
        DataError: the benchmark cannot be built there.
    """
    folder = (cache or cache_folder()) / f"mini-{_mini_digest()}"
    if _is_whole(folder):
        return folder
    try:
        return mini_benchmark(folder)
    except (SpiderDataError, OSError) as error:
        if _is_whole(folder):  # another process has built it meanwhile
            return folder
        raise DataError(
            f"cannot make the embedded benchmark: {error}; choose another place with {CACHE_VARIABLE}, or --data"
        ) from error


def cache_folder() -> Path:
    """The folder for files that can be made again."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lit-sql"


def _is_whole(folder: Path) -> bool:
    return (folder / "manifest.json").is_file()  # written last


def _mini_digest() -> str:
    digest = hashlib.sha256()
    root = Path(str(importlib.resources.files("spider_data") / "mini"))
    for file in sorted(path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
        digest.update(f"{file.relative_to(root).as_posix()}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:12]
