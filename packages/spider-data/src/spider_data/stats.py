"""Count what is in a data folder: tasks by split, hardness, database and table count; lengths of texts."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from statistics import median
from typing import TYPE_CHECKING, Any

from spider_data.catalog import DatabaseCatalog
from spider_data.errors import DatabaseUnreadableError, SourceNotFoundError
from spider_data.parquet import read_tasks
from spider_data.readonly import open_readonly, tables_of
from spider_data.storage import MAKE_DATA, StrPath
from spider_data.task import Hardness, SpiderTask

if TYPE_CHECKING:
    import pandas as pd  # pyright: ignore[reportMissingTypeStubs]  pandas ships no stubs

ORDER = ("train", "validation", "dev", "test", "train_spider", "train_others", "test_dev_500", "test_dev")
"""The usual order of the files; others follow by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """How long texts are, in words (runs of characters without a blank)."""

    shortest: int
    median: float
    p90: int
    """90 % of the texts are at most this long."""
    longest: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitStats:
    """One task file in figures."""

    tasks: int
    hardness: Mapping[str, int]
    """Tasks by level; `unknown` where the source does not say."""
    databases: Mapping[str, int]
    """Tasks by `db_id`, most first."""
    table_counts: Mapping[int, int]
    """Tasks by the number of tables in their database; missing databases are left out."""
    question_words: Lengths | None
    """None when there is no task."""
    query_words: Lengths | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DataStats:
    """A data folder in figures."""

    root: str
    splits: Mapping[str, SplitStats]
    """By the stem of the task file, training first."""

    def to_dict(self) -> dict[str, Any]:
        """The figures for `json.dumps`."""
        return asdict(self)

    def to_frame(self) -> pd.DataFrame:
        """The figures as a data frame: a row for each task file, in the order of `splits`; pandas is imported here.

        Columns: tasks, databases, fewest_tables, most_tables, a count for each level of hardness, and shortest, median,
        p90 and longest of `question_words_` and `query_words_`. Unknown values are missing.
        """
        rows = [_frame_row(split) for split in self.splits.values()]
        return import_module("pandas").DataFrame(rows, index=list(self.splits))


def data_stats(root: StrPath | None = None) -> DataStats:
    """Count every task file of a data folder.

    Raises:
        SourceNotFoundError: no such folder, or no task file in it.
        SchemaMismatchError: a Parquet file in it is not a task file.
    """
    catalog = DatabaseCatalog(root)
    paths = {path.stem: path for path in sorted(catalog.root.glob("*.parquet"))}
    if not paths:
        raise SourceNotFoundError(path=catalog.root, wanted="task file (*.parquet)", inside=True, advice=MAKE_DATA)
    stems = [stem for stem in ORDER if stem in paths] + [stem for stem in paths if stem not in ORDER]
    tasks = {stem: read_tasks(paths[stem]) for stem in stems}
    ids = {task.db_id for rows in tasks.values() for task in rows}
    tables = {db_id: count for db_id in sorted(ids) if (count := _table_count(catalog, db_id)) is not None}
    return DataStats(root=str(catalog.root), splits={stem: _count(rows, tables) for stem, rows in tasks.items()})


def word_counts(tasks: Sequence[SpiderTask]) -> tuple[list[int], list[int]]:
    """Words of each question that has a text, and of each query."""
    questions = [len(task.question.split()) for task in tasks if task.question.strip()]
    return questions, [len(task.query.split()) for task in tasks]


def _count(tasks: Sequence[SpiderTask], tables: Mapping[str, int]) -> SplitStats:
    levels = Counter(task.hardness for task in tasks)
    by_tables = Counter(tables[task.db_id] for task in tasks if task.db_id in tables)
    questions, queries = word_counts(tasks)
    return SplitStats(
        tasks=len(tasks),
        hardness={str(level) or "unknown": levels[level] for level in Hardness if levels[level]},
        databases=dict(Counter(task.db_id for task in tasks).most_common()),
        table_counts=dict(sorted(by_tables.items())),
        question_words=_lengths(questions),
        query_words=_lengths(queries),
    )


def _frame_row(split: SplitStats) -> dict[str, float | None]:
    tables = list(split.table_counts)
    row: dict[str, float | None] = {"tasks": split.tasks, "databases": len(split.databases)}
    row |= {"fewest_tables": tables[0] if tables else None, "most_tables": tables[-1] if tables else None}
    row |= {name: split.hardness.get(name, 0) for name in (str(level) or "unknown" for level in Hardness)}
    for name, lengths in (("question_words", split.question_words), ("query_words", split.query_words)):
        for part in ("shortest", "median", "p90", "longest"):
            row[f"{name}_{part}"] = getattr(lengths, part) if lengths else None
    return row


def _lengths(counts: Sequence[int]) -> Lengths | None:
    if not counts:
        return None
    ordered = sorted(counts)
    return Lengths(
        shortest=ordered[0],
        median=median(ordered),
        p90=ordered[-(-9 * len(ordered) // 10) - 1],
        longest=ordered[-1],
    )


def _table_count(catalog: DatabaseCatalog, db_id: str) -> int | None:
    if db_id not in catalog:
        return None
    try:
        with open_readonly(catalog.path(db_id)) as connection:
            return len(tables_of(connection))
    except (DatabaseUnreadableError, sqlite3.Error):  # `check` reports this
        return None
