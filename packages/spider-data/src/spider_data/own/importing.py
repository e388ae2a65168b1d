"""Make a data folder from your own SQLite databases and questions, for use by every other command.

One error names all faults of the question file, failing queries included, and then nothing is written. Databases are
linked, and copied only on request. Splits are seeded and never share an answer.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from spider_data.catalog import DatabaseCatalog, is_plain_name
from spider_data.errors import (
    DiskFullError,
    OptionInvalidError,
    Problem,
    QuestionsInvalidError,
    SourceNotFoundError,
    TargetUnwritableError,
)
from spider_data.manifest import Manifest, Origin, sha256_of, write_manifest
from spider_data.own.questions import Line, QuestionFile, read_question_file
from spider_data.parquet import write_tasks
from spider_data.readonly import failure_of, has_log, open_readonly
from spider_data.splits import carve_by_database, carve_by_question, check_share
from spider_data.storage import StrPath, data_dir, link_file, new_folder, require_file
from spider_data.task import SpiderTask, Split

_ENDINGS = (".sqlite", ".sqlite3", ".db")


class SplitBy(StrEnum):
    """What must not be shared between training and the held-out sets."""

    QUESTION = "question"
    """No question and no gold query; the model may know the schemas. For one database, the only choice."""
    DATABASE = "database"
    """No database; measures how well unseen schemas are handled, as Spider does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """Settings of an import."""

    split_by: SplitBy = SplitBy.QUESTION
    validation_share: float = 0.1
    test_share: float = 0.1
    seed: int = 0
    copy: bool = False
    """Copy the databases (through SQLite's backup, so a database in use is copied whole) instead of linking them."""
    deadline_s: float = 10.0
    """Seconds that each gold query may run."""


def import_data(
    databases: StrPath,
    questions: StrPath,
    target: StrPath | None = None,
    *,
    options: ImportOptions | None = None,
    on_query: Callable[[int, int], None] = lambda done, total: None,
) -> Manifest:
    """Make the data folder `target` and return what its manifest says.

    `databases` is one SQLite file, a folder of them, or a folder in Spider's layout; the `db_id` is the file's
    name without its ending. `questions` is described in `spider_data.own.questions`; if its rows have `split`, these
    are used as they are. `on_query` receives the number of gold queries that have run and the number of all.

    Raises:
        SourceNotFoundError: no such file or folder, or no database in it.
        DatabaseUnreadableError: a file is not a database.
        QuestionsInvalidError: broken lines or queries that fail; all of them are named.
        OptionInvalidError: the shares leave nothing to train on, or two databases have one name.
        TargetOccupiedError, DiskFullError, TargetUnwritableError: the files cannot be written to the target.
    """
    options = options or ImportOptions()
    questions, target = Path(questions), data_dir(target)
    _check_shares(options)
    files = find_databases(Path(databases))
    for suite in files.values():
        with open_readonly(suite[0]):
            pass
    read = read_question_file(questions, list(files))
    empty, failures = _run_golds(read, files, options.deadline_s, on_query)
    problems = sorted([*read.problems, *failures], key=lambda problem: problem.number)
    if not problems and not read.lines:
        problems = [Problem(number=0, text="the file has no question; write at least one")]
    if problems:
        raise QuestionsInvalidError(path=questions, problems=tuple(problems))
    tasks = [line.task for line in read.lines]
    parts, how = _split(questions, tasks, options)
    used = {task.db_id for task in tasks}
    logged = [db_id for db_id, suite in files.items() if db_id in used and not options.copy and has_log(suite[0])]
    notes = [*read.notes]
    if read.repeated:
        notes.append(f"{read.repeated} {read.unit}s repeat an earlier one and are left out")
    if empty:
        places = f"{read.unit}s {_some(empty)}"
        notes.append(f"{len(empty)} gold queries give no row ({places}): any query without a row matches")
    notes += [f"{split}.parquet is empty" for split, rows in parts.items() if not rows]
    notes += [f"{db_id} has changes in a log beside it and was copied whole, not linked" for db_id in logged]
    manifest = Manifest(
        origin=Origin.OWN,
        rows={f"{split}.parquet": len(rows) for split, rows in parts.items()},
        settings={"split_by": how, "seed": options.seed}
        | {"validation_share": options.validation_share, "test_share": options.test_share},
        sources={questions.name: sha256_of(questions)},
        notes=tuple(notes),
    )
    with new_folder(target) as part:
        for split, rows in parts.items():
            write_tasks(part / f"{split}.parquet", rows)
        for db_id, suite in files.items():
            for file in suite if db_id in used else ():
                name = f"{db_id}.sqlite" if file == suite[0] else file.name
                _place(
                    file, part / "database" / db_id / name, copy=options.copy or (db_id in logged and file == suite[0])
                )
        write_manifest(part, manifest)
    return manifest


def _check_shares(options: ImportOptions) -> None:
    check_share(options.validation_share, option="validation_share")
    check_share(options.test_share, option="test_share")
    if options.validation_share + options.test_share >= 1:
        reason = "together with validation_share it takes all rows; give shares whose sum is below 1"
        raise OptionInvalidError(option="test_share", reason=reason)
    if not options.deadline_s > 0:
        reason = f"expected a number of seconds above 0, got {options.deadline_s!r}"
        raise OptionInvalidError(option="deadline_s", reason=reason)


def find_databases(place: Path) -> dict[str, tuple[Path, ...]]:
    """Files by `db_id`, main file first, sorted by id: one file, a flat folder, or Spider's layout.

    Raises:
        SourceNotFoundError: the place does not exist, or holds no database.
        OptionInvalidError: two files give the same `db_id`.
    """
    if place.is_file():
        return {_id_of(place): (place,)}
    if not place.is_dir():
        require_file(place, wanted="SQLite file or folder", advice="name a SQLite file, or a folder of them")
    catalog = DatabaseCatalog(place)
    found = {db_id: catalog.suite(db_id) for db_id in catalog.ids}
    for file in sorted(file for file in place.iterdir() if file.suffix in _ENDINGS and file.is_file()):
        if _id_of(file) in found:
            reason = f"two databases in {str(place)!r} are called {_id_of(file)!r}; rename one of them"
            raise OptionInvalidError(option="databases", reason=reason)
        found[_id_of(file)] = (file,)
    if not found:
        advice = f"expected files ending in {', '.join(_ENDINGS)}, or folders <db_id>/<db_id>.sqlite"
        raise SourceNotFoundError(path=place, wanted="database", inside=True, advice=advice)
    return dict(sorted(found.items()))


def _run_golds(
    read: QuestionFile, files: Mapping[str, Sequence[Path]], deadline_s: float, on_query: Callable[[int, int], None]
) -> tuple[list[int], list[Problem]]:
    """Lines whose gold query gives no row, and a sentence for each gold query that fails."""
    lines: Sequence[Line] = read.lines
    empty: list[int] = []
    failures: list[Problem] = []
    for done, line in enumerate(lines):
        on_query(done, len(lines))
        failure, rows = failure_of(files[line.task.db_id][0], line.task.query, deadline_s=deadline_s)
        if failure:
            text = f"the query fails on {line.task.db_id!r}: {failure}"
            failures.append(Problem(number=line.number, text=text, unit=read.unit))
        elif rows == 0:
            empty.append(line.number)
    return empty, failures


def _split(
    questions: Path, tasks: Sequence[SpiderTask], options: ImportOptions
) -> tuple[dict[Split, list[SpiderTask]], str]:
    given = {task.split for task in tasks}
    if given != {Split.UNKNOWN}:
        if Split.UNKNOWN in given or Split.DEV in given or Split.TRAIN not in given:
            found = ", ".join(repr(str(split)) for split in sorted(given))
            text = f"'split' is {found}; fill it in every row with train, validation or test, or leave it out"
            raise QuestionsInvalidError(path=questions, problems=(Problem(number=0, text=text),))
        return {split: [task for task in tasks if task.split is split] for split in _PARTS}, "given"
    by_database = options.split_by is SplitBy.DATABASE
    if by_database and len({task.db_id for task in tasks}) < 2:
        reason = f"there is only one database, {tasks[0].db_id!r}, and it cannot be held out whole; give 'question'"
        raise OptionInvalidError(option="split_by", reason=reason)
    carve = carve_by_database if by_database else carve_by_question
    rest, test = carve(tasks, share=options.test_share, seed=options.seed, split=Split.TEST)
    share = options.validation_share / (1 - options.test_share)
    train, validation = carve(rest, share=share, seed=options.seed + 1, split=Split.VALIDATION)
    train = [replace(task, split=Split.TRAIN) for task in train]
    return dict(zip(_PARTS, (train, validation, test), strict=True)), str(options.split_by)


_PARTS = (Split.TRAIN, Split.VALIDATION, Split.TEST)


def _place(file: Path, place: Path, *, copy: bool) -> None:
    if not copy:
        link_file(file, place)
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    with open_readonly(file, deadline_s=3600) as source, closing(sqlite3.connect(place)) as plain:
        try:
            source.backup(plain)
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorname", "") == "SQLITE_FULL":
                raise DiskFullError(path=place) from error
            # SQLite does not say which of the two files it could not read or write.
            raise TargetUnwritableError(path=place, reason=f"copying {str(file)!r} failed: {error}") from error


def _id_of(file: Path) -> str:
    if not is_plain_name(file.stem):
        raise OptionInvalidError(option="databases", reason=f"{file.name!r} gives no usable db_id; rename the file")
    return file.stem


def _some(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:10])) + (" …" if len(numbers) > 10 else "")
