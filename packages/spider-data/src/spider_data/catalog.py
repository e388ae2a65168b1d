"""Find the SQLite files of a `db_id`. Nothing is opened, copied or written.

A data folder keeps `database/<db_id>/<db_id>.sqlite` and, in Spider's newer layout, the same under
`test_database/`. Other `*.sqlite` files beside the main one are the variants of its test suite.
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from spider_data.errors import DatabaseNotFoundError, SourceNotFoundError
from spider_data.storage import MAKE_DATA, StrPath, data_dir

FOLDERS = ("database", "test_database")
"""The folders of databases in a data folder, in the order of search."""


class DatabaseCatalog:
    """The databases of one data folder.

    `root` may be the data folder or the database folder itself; without it, see `data_dir`.

    Raises:
        SourceNotFoundError: `root` is not a folder.
    """

    def __init__(self, root: StrPath | None = None) -> None:
        self.root = data_dir(root)
        if not self.root.is_dir():
            raise SourceNotFoundError(
                path=self.root,
                wanted="data folder",
                found="a file" if self.root.exists() else "",
                advice=f"name the folder, set VERL_SPIDER_DATA_DIR, or {MAKE_DATA}",
            )
        present = tuple(self.root / name for name in FOLDERS if (self.root / name).is_dir())
        self.folders: tuple[Path, ...] = present or (self.root,)
        """The folders that hold databases: one folder a `db_id`."""

    @property
    def ids(self) -> tuple[str, ...]:
        """Every `db_id` with a main file, sorted."""
        found = {
            folder.name
            for base in self.folders
            for folder in base.iterdir()
            if (folder / f"{folder.name}.sqlite").is_file()
        }
        return tuple(sorted(found))

    def __contains__(self, db_id: object) -> bool:
        return isinstance(db_id, str) and self._find(db_id) is not None

    def path(self, db_id: str) -> Path:
        """The main SQLite file of a database: in `database/` if it is there, else in `test_database/`.

        Raises:
            DatabaseNotFoundError: in neither; names both places and the nearest ids.
        """
        found = self._find(db_id)
        if found is not None:
            return found
        raise DatabaseNotFoundError(
            db_id=db_id,
            root=self.root,
            tried=tuple(self.root / name / db_id / f"{db_id}.sqlite" for name in FOLDERS),
            nearest=tuple(difflib.get_close_matches(db_id, self.ids, n=3)),
        )

    def suite(self, db_id: str) -> tuple[Path, ...]:
        """The main file, then its variants in natural order (`_v2` before `_v10`).

        Only names that end in `.sqlite` count: `-journal`, `-wal` and `.bak` leftovers do not count.

        Raises:
            DatabaseNotFoundError: see `path`.
        """
        main = self.path(db_id)
        others = [file for file in main.parent.glob("*.sqlite") if file != main and file.is_file()]
        return (main, *sorted(others, key=lambda file: _natural(file.name)))

    def _find(self, db_id: str) -> Path | None:
        if not is_plain_name(db_id):
            return None
        for folder in self.folders:
            file = folder / db_id / f"{db_id}.sqlite"
            if file.is_file():
                return file
        return None


def is_plain_name(db_id: str) -> bool:
    """Whether a `db_id` is a single folder name, so that it cannot lead out of the data folder."""
    return bool(db_id) and db_id not in (".", "..") and not re.search(r"[/\\\0]", db_id)


def _natural(name: str) -> list[tuple[bool, int, str]]:
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"([0-9]+)", name)]
