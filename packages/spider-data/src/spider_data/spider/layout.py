"""Find the questions and databases of Spider 1.0 in a folder or a zip.

The module knows the old layout without test questions, the newer one with `test.json` and `test_database`, and the file
names of mirrors and related data sets.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from spider_data.catalog import FOLDERS
from spider_data.errors import SourceNotFoundError
from spider_data.storage import StrPath
from spider_data.task import Split

QUESTION_FILES = {
    "train_spider": Split.TRAIN,
    "train_others": Split.TRAIN,
    "dev": Split.DEV,
    "test": Split.TEST,
}
"""The question files of Spider 1.0 by stem; the old layout has no test file."""

EXTRAS = ("tables.json", "test_tables.json")
"""Schema descriptions, which exact-match scoring reads."""

MIRROR_NAMES = {"train_spider": ("train",), "dev": ("validation",)}
"""The names of these files in mirrors and related data sets: Hugging Face has `train-00000-of-00001.parquet` and
`validation-…`, BIRD has `train.json`."""

JSON_ENDINGS = (".json", ".jsonl")

_SHARD = re.compile(r"-\d{5}-of-(\d{5})\.parquet$")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertOptions:
    """Settings of a conversion. Names are files in the source, or paths elsewhere."""

    names: Mapping[str, str] = field(default_factory=dict[str, str])
    """Other names for question files by stem, such as `{"test": "test_2024.json"}`."""
    databases: StrPath | None = None
    """Folder of the train and dev databases, when it is not `database` in the source."""
    test_databases: StrPath | None = None
    """Folder of the test databases, when it is not `test_database` in the source."""
    validation_share: float = 0.1
    """Part of the training rows that goes to `validation.parquet`, as whole databases."""
    seed: int = 0
    keep_empty: bool = False
    """Keep tasks on `EMPTY_DATABASES` in `train.parquet` and `validation.parquet`."""

    def databases_for(self, folder: str) -> Path | None:
        """The place given for `database` or `test_database`.

        Raises:
            SourceNotFoundError: a place is given and is not a folder.
        """
        given, option = (
            (self.databases, "--databases") if folder == FOLDERS[0] else (self.test_databases, "--test-databases")
        )
        if given is None:
            return None
        if not Path(given).is_dir():
            raise SourceNotFoundError(path=Path(given), wanted="database folder", advice=f"check {option}")
        return Path(given)


def question_folder(source: Path, options: ConvertOptions) -> Path:
    """`source`, or the only folder in it that has the questions, because zips are often unpacked one level too deep.

    Raises:
        SourceNotFoundError: there are no training questions.
    """
    if question_files(source, "train_spider", options):
        return source
    inner = [
        folder
        for folder in sorted(source.iterdir())
        if folder.is_dir() and question_files(folder, "train_spider", options)
    ]
    if len(inner) == 1:
        return inner[0]
    raise no_training_questions(source)


def no_training_questions(source: Path) -> SourceNotFoundError:
    """The error for a folder or zip without a file of training questions."""
    advice = (
        "expected train_spider.json, train.json or train-00000-of-00001.parquet there; name the folder or zip that has"
    )
    return SourceNotFoundError(
        path=source, wanted="training questions", inside=True, advice=f"{advice} it, or the file with --train-spider"
    )


def question_files(folder: Path, stem: str, options: ConvertOptions) -> tuple[Path, ...]:
    """The file of one stem, or all its shards in order: JSON before Parquet, Spider's own name before a mirror's.

    Empty when the source has none.

    Raises:
        SourceNotFoundError: a name is given by option, but no file has it; or a shard is missing.
    """
    given = options.names.get(stem)
    if given is not None:
        for path in (folder / given, Path(given)):
            if path.is_file():
                return (path,)
        option = f"--{stem.replace('_', '-')}"
        raise SourceNotFoundError(
            path=folder / given, wanted=f"file for {stem}", advice=f"nor in the current folder; check {option}"
        )
    for name in (stem, *MIRROR_NAMES.get(stem, ())):
        for ending in JSON_ENDINGS:
            if (folder / f"{name}{ending}").is_file():
                return (folder / f"{name}{ending}",)
        if name == stem and (folder / f"{name}.parquet").is_file():
            return (folder / f"{name}.parquet",)
        shards = sorted(path for path in folder.glob(f"{name}-*-of-*.parquet") if _SHARD.search(path.name))
        if shards:
            return _complete(shards)
    return ()


def _complete(shards: list[Path]) -> tuple[Path, ...]:
    expected = int(_SHARD.findall(shards[0].name)[0])
    if len(shards) != expected:
        raise SourceNotFoundError(
            path=shards[0].parent,
            wanted=f"complete set of shards like {shards[0].name}",
            inside=True,
            advice=f"{len(shards)} of {expected} are there; get the others",
        )
    return tuple(shards)


def is_question_file(name: str, stems: Iterable[str] = QUESTION_FILES) -> bool:
    """Whether a file's name is one under which `question_files` looks for these stems."""
    known = {spelling for stem in stems for spelling in (stem, *MIRROR_NAMES.get(stem, ()))}
    path = PurePosixPath(name)
    if path.suffix == ".parquet" and _SHARD.search(name):
        return name.split("-")[0] in known
    return path.stem in known and path.suffix in (*JSON_ENDINGS, *(".parquet",) * (path.stem in QUESTION_FILES))


def is_wanted(name: PurePosixPath, options: ConvertOptions) -> bool:
    """Whether a zip's member, seen without the wrapping folder, is read by a conversion."""
    if len(name.parts) == 1:
        return is_question_file(name.name) or name.name in EXTRAS or name.name in options.names.values()
    folder = name.parts[0]
    is_database = folder in FOLDERS and len(name.parts) == 3 and name.suffix == ".sqlite"
    return is_database and options.databases_for(folder) is None
