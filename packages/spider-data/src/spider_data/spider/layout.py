"""What the official Spider 1.0 looks like, as a folder and as a zip: where its questions and databases are.

Knows both layouts, the old one without test questions and the newer one with `test.json` and `test_database`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from spider_data.catalog import FOLDERS
from spider_data.errors import SourceNotFoundError
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

    def databases_for(self, folder: str) -> Path | None:
        """The place given for `database` or `test_database`.

        Raises:
            SourceNotFoundError: a place is given, but it is no folder.
        """
        given = self.databases if folder == FOLDERS[0] else self.test_databases
        if given is not None and not given.is_dir():
            raise SourceNotFoundError(f"no database folder {str(given)!r}; check the option", path=given)
        return given


def question_folder(source: Path, options: ConvertOptions) -> Path:
    """`source`, or the one folder in it that has the questions: zips are often unpacked one level too deep.

    Raises:
        SourceNotFoundError: there are no training questions.
    """
    if question_file(source, "train_spider", options) is not None:
        return source
    inner = [
        folder
        for folder in sorted(source.iterdir())
        if folder.is_dir() and question_file(folder, "train_spider", options) is not None
    ]
    if len(inner) == 1:
        return inner[0]
    raise SourceNotFoundError(
        f"no training questions in {str(source)!r}: expected train_spider.json there; "
        f"name the unpacked Spider folder, or the file itself by option",
        path=source / "train_spider.json",
    )


def question_file(folder: Path, stem: str, options: ConvertOptions) -> Path | None:
    """The file of one stem, JSON before Parquet; None when the source has none.

    Raises:
        SourceNotFoundError: a name is given by option, but no file has it.
    """
    given = options.names.get(stem)
    if given is not None:
        for path in (folder / given, Path(given)):
            if path.is_file():
                return path
        raise SourceNotFoundError(
            f"no file {given!r} for {stem}: neither in {str(folder)!r} nor in the current folder; check the option",
            path=folder / given,
        )
    return next((folder / f"{stem}{end}" for end in _SUFFIXES if (folder / f"{stem}{end}").is_file()), None)


def is_wanted(name: PurePosixPath, options: ConvertOptions) -> bool:
    """Whether a zip's member, seen without the wrapping folder, is read by a conversion."""
    if len(name.parts) == 1:
        return name.stem in QUESTION_FILES or name.name in EXTRAS or name.name in options.names.values()
    folder = name.parts[0]
    is_database = folder in FOLDERS and len(name.parts) == 3 and name.suffix == ".sqlite"
    return is_database and options.databases_for(folder) is None
