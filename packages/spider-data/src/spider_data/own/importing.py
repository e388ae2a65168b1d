"""Make a data folder from your own SQLite databases and questions, so that every later command works on it.

All faults of the question file are named at once, failing queries included, and nothing is written then.
Databases are linked; a copy is made only on request. Splits are seeded and never share an answer.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from spider_data.catalog import DatabaseCatalog, is_plain_name
from spider_data.errors import OptionInvalidError, QuestionsInvalidError, SourceNotFoundError
from spider_data.manifest import Manifest, Origin, sha256_of, write_manifest
from spider_data.own.questions import Line, Problem, read_question_file
from spider_data.parquet import write_tasks
from spider_data.readonly import failure_of, open_readonly
from spider_data.splits import carve_by_database, carve_by_question
from spider_data.storage import data_dir, link_file, new_folder
from spider_data.task import SpiderTask, Split

_ENDINGS = (".sqlite", ".sqlite3", ".db")
_SHOWN = 40


class SplitBy(StrEnum):
    """What must not be shared between training and the held-out sets."""

    QUESTION = "question"
    """No question and no gold query; the model may know the schemas. For one database, the only choice."""
    DATABASE = "database"
    """No database; measures how well unseen schemas are handled, as Spider does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """What an import may be told."""

    split_by: SplitBy = SplitBy.QUESTION
    validation_share: float = 0.1
    test_share: float = 0.1
    seed: int = 0
    copy: bool = False
    """Copy the databases (through SQLite's backup, so a database in use is copied whole) instead of linking them."""
    deadline_s: float = 10.0
    """Seconds that each gold query may run."""


def import_data(
    databases: Path | str,
    questions: Path | str,
    target: Path | str | None = None,
    *,
    options: ImportOptions | None = None,
    on_query: Callable[[int, int], None] = lambda done, total: None,
) -> Manifest:
    """Make the data folder `target` and return what its manifest says.

    `databases` is one SQLite file, a folder of them, or a folder in Spider's layout; the `db_id` is the file's
    name without its ending. `questions` is described in `spider_data.own.questions`; if its rows have `split`, these
    are used as they are. `on_query` hears how many gold queries have been run, of how many.

    Raises:
        SourceNotFoundError: no such file or folder, or no database in it.
        DatabaseUnreadableError: a database is none.
        QuestionsInvalidError: broken lines or queries that fail; all of them are named.
        OptionInvalidError: the shares leave nothing to train on, or two databases have one name.
        TargetOccupiedError, DiskFullError, TargetUnwritableError: the target cannot take the files.
    """
    options = options or ImportOptions()
    questions, target = Path(questions), data_dir(target)
    if options.validation_share + options.test_share >= 1:
        raise OptionInvalidError("validation and test take all rows; give shares whose sum is below 1", option="share")
    files = find_databases(Path(databases))
    for suite in files.values():
        with open_readonly(suite[0]):
            pass
    read = read_question_file(questions, list(files))
    empty, failures = _run_golds(read.lines, files, options.deadline_s, on_query)
    problems = sorted([*read.problems, *failures], key=lambda problem: problem.number)
    if not problems and not read.lines:
        problems = [Problem(number=0, text="the file has no line")]
    if problems:
        sentences = tuple(map(str, problems))
        raise QuestionsInvalidError(_complaint(questions, sentences), path=questions, problems=sentences)
    tasks = [line.task for line in read.lines]
    parts, how = _split(questions, tasks, options)
    notes: list[str] = []
    if read.repeated:
        notes.append(f"{read.repeated} lines repeat an earlier one and are left out")
    if empty:
        notes.append(f"{len(empty)} gold queries give no row (lines {_some(empty)}): any query without a row matches")
    notes += [f"{split}.parquet is empty" for split, rows in parts.items() if not rows]
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
        used = {task.db_id for task in tasks}
        for db_id, suite in files.items():
            for file in suite if db_id in used else ():
                name = f"{db_id}.sqlite" if file == suite[0] else file.name
                _place(file, part / "database" / db_id / name, copy=options.copy)
        write_manifest(part, manifest)
    return manifest


def find_databases(place: Path) -> dict[str, tuple[Path, ...]]:
    """Files by `db_id`, main file first, sorted by id: one file, a flat folder, or Spider's layout.

    Raises:
        SourceNotFoundError: nothing there, or no database in it.
        OptionInvalidError: two files give the same `db_id`.
    """
    if place.is_file():
        return {_id_of(place): (place,)}
    if not place.is_dir():
        raise SourceNotFoundError(
            f"no file or folder {str(place)!r}; name a SQLite file or a folder of them", path=place
        )
    catalog = DatabaseCatalog(place)
    found = {db_id: catalog.suite(db_id) for db_id in catalog.ids}
    for file in sorted(file for file in place.iterdir() if file.suffix in _ENDINGS and file.is_file()):
        if _id_of(file) in found:
            raise OptionInvalidError(
                f"two databases in {str(place)!r} are called {_id_of(file)!r}; rename one of them", option="db"
            )
        found[_id_of(file)] = (file,)
    if not found:
        raise SourceNotFoundError(
            f"no database in {str(place)!r}; expected files ending in {', '.join(_ENDINGS)}, "
            f"or folders <db_id>/<db_id>.sqlite",
            path=place,
        )
    return dict(sorted(found.items()))


def _run_golds(
    lines: Sequence[Line], files: Mapping[str, Sequence[Path]], deadline_s: float, on_query: Callable[[int, int], None]
) -> tuple[list[int], list[Problem]]:
    """Lines whose gold gives no row, and a sentence for each gold that fails."""
    empty: list[int] = []
    failures: list[Problem] = []
    for done, line in enumerate(lines):
        on_query(done, len(lines))
        failure, rows = failure_of(files[line.task.db_id][0], line.task.query, deadline_s=deadline_s)
        if failure:
            text = f"the query fails on {line.task.db_id!r}: {failure}"
            failures.append(Problem(number=line.number, text=text))
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
            raise QuestionsInvalidError(
                f"{str(questions)!r}: column 'split' has {found}; fill it in every row with train, validation or test, "
                f"or leave it out",
                path=questions,
                problems=(),
            )
        return {split: [task for task in tasks if task.split is split] for split in _PARTS}, "given"
    carve = carve_by_database if options.split_by is SplitBy.DATABASE else carve_by_question
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
        source.backup(plain)


def _id_of(file: Path) -> str:
    if not is_plain_name(file.stem):
        raise OptionInvalidError(f"{file.name!r} gives no usable db_id; rename the file", option="db")
    return file.stem


def _complaint(questions: Path, problems: Sequence[str]) -> str:
    listed = "\n".join(f"  {problem}" for problem in problems[:_SHOWN])
    more = f"\n  … and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    count = f"{len(problems)} fault{'s' * (len(problems) != 1)}"
    return f"{str(questions)!r} has {count}; nothing was written. Mend and import again:\n{listed}{more}"


def _some(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:10])) + (" …" if len(numbers) > 10 else "")
