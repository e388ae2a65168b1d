"""Convert the official Spider 1.0, a folder or a zip, to a data folder for every other command.

The conversion writes task files and a manifest. Databases stay in their place and are linked, or extracted once from a
zip. Equal sources and options give equal bytes. The target appears only when it is complete.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path, PurePosixPath

from spider_data.catalog import FOLDERS
from spider_data.errors import SourceNotFoundError, TargetOccupiedError
from spider_data.manifest import NAME, Manifest, Origin, read_manifest, sha256_of, write_manifest
from spider_data.parquet import write_tasks
from spider_data.spider.archive import extract
from spider_data.spider.layout import (
    EXTRAS,
    QUESTION_FILES,
    ConvertOptions,
    is_question_file,
    is_wanted,
    no_training_questions,
    question_files,
    question_folder,
)
from spider_data.spider.source import read_questions
from spider_data.splits import carve_by_database
from spider_data.storage import StrPath, data_dir, link_file, merge_folder, new_folder, working_folder
from spider_data.task import SpiderTask

TEST_ROWS = 2147
"""Rows of the official test file. The stored samples are positions in it and mean nothing in another file."""

EMPTY_DATABASES = ("academic", "geo", "imdb", "music_2", "restaurants", "scholar", "yelp")
"""Official databases without a single row: on them, every query with an empty result equals the gold query's."""


def convert_spider(
    source: StrPath, target: StrPath | None = None, *, options: ConvertOptions | None = None
) -> Manifest:
    """Convert the official data and return what `manifest.json` in the target says.

    `source` is the folder or the zip; `target` is a new folder, a folder that an earlier conversion made, or
    the source folder itself. Writes `train_spider`, `train_others`, `dev`, `test`, the tutorial's samples
    `test_dev` (100 rows) and `test_dev_500`, and `train` and `validation`, all `.parquet`, each where the
    source has the questions for it.

    Raises:
        SourceNotFoundError: no such source, or it holds no training questions.
        RecordInvalidError, SchemaMismatchError: a question file is broken; names the record and the key.
        ArchiveDamagedError, UnsafeMemberError: the zip is damaged, or a member would be written outside the target.
        TargetOccupiedError: the target holds something else.
        DiskFullError, TargetUnwritableError: the files cannot be written to the target.
    """
    source, target, options = Path(source), data_dir(target), options or ConvertOptions()
    if not source.exists():
        advice = "name the unpacked Spider folder or its zip, or get one with `spider-data download data`"
        raise SourceNotFoundError(path=source, wanted="folder or zip", advice=advice)
    in_place = source.is_dir() and target.is_dir() and source.resolve() == target.resolve()
    occupied = in_place or require_target(target)
    earlier = read_manifest(target) if occupied else None
    with working_folder(target) if occupied else new_folder(target) as part:
        manifest = _convert_into(source, part, options, in_place=in_place)
        if occupied:
            # Parquet files that were read in place belong to the user and stay unchanged.
            own = frozenset(manifest.sources) if in_place else frozenset[str]()
            merge_folder(part, target, last=NAME, keep=own)
            for name in set(earlier.rows if earlier else ()) - set(manifest.rows) - own:
                (target / name).unlink(missing_ok=True)
    return manifest


def require_target(target: Path) -> bool:
    """Whether `target` already holds an earlier conversion; False when it is free.

    Raises:
        TargetOccupiedError: it holds something else.
    """
    if not target.is_dir() or not any(target.iterdir()):
        return False
    manifest = read_manifest(target)
    if manifest is None or manifest.origin is not Origin.SPIDER:
        reason = "is not empty and no earlier conversion of Spider made it; name a new folder"
        raise TargetOccupiedError(path=target, reason=reason)
    return True


def _convert_into(source: Path, part: Path, options: ConvertOptions, *, in_place: bool) -> Manifest:
    if source.is_dir():
        folder = question_folder(source, options)
        manifest = _write_tasks(folder, part, options)
        _link_databases([] if in_place else [folder, source], part, options)
        return manifest
    raw = part / ".source"
    raw.mkdir()
    given = options.names.get("train_spider")

    def is_marker(name: str) -> bool:
        return name == PurePosixPath(given).name if given else is_question_file(name, ["train_spider"])

    extract(source, raw, wanted=lambda name: is_wanted(name, options), is_marker=is_marker)
    if not question_files(raw, "train_spider", options):
        raise no_training_questions(source)
    manifest = _write_tasks(raw, part, options, archive=source)
    for name in (*FOLDERS, *EXTRAS):
        if (raw / name).exists():
            (raw / name).rename(part / name)
    shutil.rmtree(raw)
    _link_databases([], part, options)
    return manifest


def _write_tasks(folder: Path, part: Path, options: ConvertOptions, *, archive: Path | None = None) -> Manifest:
    sources = {archive.name: sha256_of(archive)} if archive else {}
    parts: dict[str, list[SpiderTask]] = {}
    for stem, split in QUESTION_FILES.items():
        paths = question_files(folder, stem, options)
        if paths:
            sources |= {path.name: sha256_of(path) for path in paths}
            parts[stem] = read_questions(paths, stem=stem, split=split)
    notes = [f"the source has no {stem} questions" for stem in QUESTION_FILES if stem not in parts]
    notes += [
        f"{count} rows of {stem} have no question text; they are kept, so that row numbers mean the same"
        for stem, count in ((stem, sum(not task.question for task in tasks)) for stem, tasks in parts.items())
        if count
    ]
    training = [*parts.get("train_spider", ()), *parts.get("train_others", ())]
    useful = [task for task in training if options.keep_empty or task.db_id not in EMPTY_DATABASES]
    if len(useful) < len(training):
        notes.append(
            f"train and validation leave out {len(training) - len(useful)} tasks on official databases without a row"
        )
    written = dict(parts)
    written["train"], written["validation"] = carve_by_database(
        useful, share=options.validation_share, seed=options.seed, option="validation_share"
    )
    if len(parts.get("test", ())) == TEST_ROWS:
        for name, rows in _stored_samples().items():
            written[name] = [parts["test"][row] for row in rows]
    elif "test" in parts:
        notes.append(f"no test_dev samples: their positions need the official {TEST_ROWS} test rows")
    for stem, tasks in written.items():
        write_tasks(part / f"{stem}.parquet", tasks)
    manifest = Manifest(
        origin=Origin.SPIDER,
        rows={f"{stem}.parquet": len(tasks) for stem, tasks in written.items()},
        settings={
            "seed": options.seed,
            "validation_share": options.validation_share,
            "split_by": "database",
            "keep_empty": options.keep_empty,
            "validation_databases": sorted({task.db_id for task in written["validation"]}),
        },
        sources=sources,
        notes=tuple(notes),
    )
    write_manifest(part, manifest)
    return manifest


def _link_databases(folders: Sequence[Path], part: Path, options: ConvertOptions) -> None:
    """Link the databases of the places given by option, and of the first of `folders` that has them for the others.

    One link for each file, in real folders, so that a generated suite is written here and not in the source.
    """
    for name in FOLDERS:
        base = options.databases_for(name)
        base = base or next((folder / name for folder in folders if (folder / name).is_dir()), None)
        for file in sorted(base.glob("*/*.sqlite")) if base else ():
            link_file(file, part / name / file.parent.name / file.name)
    for file in [folder / name for name in EXTRAS for folder in folders[:1]]:
        if file.is_file():
            link_file(file, part / file.name)


def _stored_samples() -> dict[str, list[int]]:
    """The rows of pandas' `sample(n=100, random_state=42)` and `sample(n=500, random_state=0)` of the test set."""
    return json.loads(files("spider_data").joinpath("test_rows.json").read_text(encoding="utf-8"))
