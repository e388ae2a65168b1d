"""From the official Spider 1.0, folder or zip, to a data folder that every other command understands.

Writes task files and a manifest; databases stay where they are and are linked, or, from a zip, extracted
once. Equal sources and options give equal bytes. The target appears when it is complete, or not at all.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path, PurePosixPath

from spider_data.archive import extract
from spider_data.catalog import FOLDERS
from spider_data.errors import SourceNotFound, TargetOccupied
from spider_data.manifest import NAME, Manifest, Origin, read_manifest, sha256_of, write_manifest
from spider_data.parquet import write_tasks
from spider_data.source import read_questions
from spider_data.splits import carve_by_database
from spider_data.storage import data_dir, link_file, merge_folder, new_folder, working_folder
from spider_data.task import SpiderTask, Split

QUESTION_FILES = {
    "train_spider": Split.TRAIN,
    "train_others": Split.TRAIN,
    "dev": Split.DEV,
    "test": Split.TEST,
}
"""The question files of Spider 1.0 by stem; the old layout has no test file."""

TEST_ROWS = 2147
"""Rows of the official test file. The stored samples are positions in it and mean nothing in another file."""

EMPTY_DATABASES = ("academic", "geo", "imdb", "music_2", "restaurants", "scholar", "yelp")
"""Official databases without a single row: executing a query there cannot tell right from wrong."""

_EXTRAS = ("tables.json", "test_tables.json")
_SUFFIXES = (".json", ".parquet")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertOptions:
    """What a conversion may be told. Names are files in the source, or paths elsewhere."""

    names: Mapping[str, str] = field(default_factory=dict[str, str])
    """Other names for question files by stem, such as `{"test": "test_2024.json"}`."""
    databases: Path | None = None
    """Folder of the train and dev databases, when it is not `database` in the source."""
    test_databases: Path | None = None
    """Folder of the test databases, when it is not `test_database` in the source."""
    validation_share: float = 0.1
    """Part of the training rows that goes to `validation.parquet`, as whole databases."""
    seed: int = 0
    keep_empty: bool = False
    """Keep tasks on `EMPTY_DATABASES` in `train.parquet` and `validation.parquet`."""


def convert_spider(
    source: Path | str, target: Path | str | None = None, *, options: ConvertOptions | None = None
) -> Manifest:
    """Convert the official data and return what `manifest.json` in the target says.

    `source` is the folder or the zip; `target` is a new folder, a folder that an earlier conversion made, or
    the source folder itself. Writes `train_spider`, `train_others`, `dev`, `test`, the tutorial's samples
    `test_dev` (100 rows) and `test_dev_500`, and `train` and `validation`, all `.parquet`, each where the
    source has the questions for it.

    Raises:
        SourceNotFound: no such source, or it holds no training questions.
        RecordInvalid, SchemaMismatch: a question file is broken; names the record and the key.
        ArchiveDamaged, UnsafeMember: the zip is truncated or hostile.
        TargetOccupied: the target holds something else.
        DiskFull, TargetUnwritable: the target cannot take the files.
    """
    source, target, options = Path(source), data_dir(target), options or ConvertOptions()
    if not source.exists():
        raise SourceNotFound(
            f"no such folder or zip: {str(source)!r}; name the unpacked Spider folder, its zip, "
            f"or get one with `spider-data download`",
            path=source,
        )
    in_place = source.is_dir() and target.is_dir() and source.resolve() == target.resolve()
    occupied = in_place or require_target(target)
    with working_folder(target) if occupied else new_folder(target) as part:
        manifest = _convert_into(source, part, options, link=not in_place)
        if occupied:
            own = frozenset(manifest.sources) if in_place else frozenset[str]()
            merge_folder(part, target, last=NAME, keep=lambda name: name.parts[0] in FOLDERS or str(name) in own)
    return manifest


def require_target(target: Path) -> bool:
    """Whether `target` already holds an earlier conversion; False when it is free.

    Raises:
        TargetOccupied: it holds something else.
    """
    if not target.is_dir() or not any(target.iterdir()):
        return False
    manifest = read_manifest(target)
    if manifest is None or manifest.origin is not Origin.SPIDER:
        raise TargetOccupied(
            f"{str(target)!r} is not empty and no earlier conversion of Spider made it; name a new folder", path=target
        )
    return True


def _convert_into(source: Path, part: Path, options: ConvertOptions, *, link: bool) -> Manifest:
    if source.is_dir():
        manifest = _write_tasks(_question_folder(source, options), part, options)
        if link:
            _link_databases(_question_folder(source, options), part, options)
        return manifest
    raw = part / ".source"
    extract(
        source,
        raw,
        wanted=lambda name: _is_wanted(name, options),
        marker=PurePosixPath(options.names.get("train_spider", "train_spider.")).name,
    )
    manifest = _write_tasks(raw, part, options, archive=source)
    for name in (*FOLDERS, *_EXTRAS):
        if (raw / name).exists():
            (raw / name).rename(part / name)
    shutil.rmtree(raw)
    return manifest


def _write_tasks(folder: Path, part: Path, options: ConvertOptions, *, archive: Path | None = None) -> Manifest:
    sources = {archive.name: sha256_of(archive)} if archive else {}
    parts: dict[str, list[SpiderTask]] = {}
    for stem, split in QUESTION_FILES.items():
        path = _question_file(folder, stem, options)
        if path is not None:
            sources[path.name] = sha256_of(path)
            parts[stem] = read_questions(path, stem=stem, split=split)
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
        useful, share=options.validation_share, seed=options.seed
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


def _question_folder(source: Path, options: ConvertOptions) -> Path:
    """`source`, or the one folder in it that has the questions: zips are often unpacked one level too deep."""
    if _question_file(source, "train_spider", options) is not None:
        return source
    inner = [
        folder
        for folder in sorted(source.iterdir())
        if folder.is_dir() and _question_file(folder, "train_spider", options) is not None
    ]
    if len(inner) == 1:
        return inner[0]
    raise SourceNotFound(
        f"no training questions in {str(source)!r}: expected train_spider.json there; "
        f"name the unpacked Spider folder, or the file itself by option",
        path=source / "train_spider.json",
    )


def _question_file(folder: Path, stem: str, options: ConvertOptions) -> Path | None:
    given = options.names.get(stem)
    if given is not None:
        for path in (folder / given, Path(given)):
            if path.is_file():
                return path
        raise SourceNotFound(
            f"no file {given!r} for {stem}: neither in {str(folder)!r} nor in the current folder; check the option",
            path=folder / given,
        )
    return next((folder / f"{stem}{end}" for end in _SUFFIXES if (folder / f"{stem}{end}").is_file()), None)


def _is_wanted(name: PurePosixPath, options: ConvertOptions) -> bool:
    if len(name.parts) == 1:
        return name.stem in QUESTION_FILES or name.name in _EXTRAS or name.name in options.names.values()
    return name.parts[0] in FOLDERS and len(name.parts) == 3 and name.suffix == ".sqlite"


def _link_databases(folder: Path, part: Path, options: ConvertOptions) -> None:
    """One link a file, in real folders: a generated suite then lands here and not in the source."""
    for name, given in zip(FOLDERS, (options.databases, options.test_databases), strict=True):
        base = given or folder / name
        if given is not None and not given.is_dir():
            raise SourceNotFound(f"no database folder {str(given)!r}; check the option", path=given)
        for file in sorted(base.glob("*/*.sqlite")):
            link_file(file, part / name / file.parent.name / file.name)
    for name in _EXTRAS:
        if (folder / name).is_file():
            link_file(folder / name, part / name)


def _stored_samples() -> dict[str, list[int]]:
    """The rows of pandas' `sample(n=100, random_state=42)` and `sample(n=500, random_state=0)` of the test set."""
    return json.loads(files("spider_data").joinpath("test_rows.json").read_text(encoding="utf-8"))
