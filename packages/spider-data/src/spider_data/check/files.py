"""The database part of a check: official checksums, readability, empty databases, leftovers."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from spider_data.catalog import DatabaseCatalog
from spider_data.check.findings import Finding, Kind, fault, note
from spider_data.errors import DatabaseUnreadableError, SourceNotFoundError, SourceUnreadableError
from spider_data.manifest import sha256_of
from spider_data.readonly import damage, is_empty, open_readonly


@dataclass(frozen=True, slots=True, kw_only=True)
class OfficialFile:
    """One of the 372 SQLite files of the official bundle."""

    folder: str
    """`database` (train and dev) or `test_database`."""
    db_id: str
    sha256: str
    size_bytes: int


@cache
def official_files() -> tuple[OfficialFile, ...]:
    """The shipped table: 166 files of `database`, 206 of `test_database`, of which 40 are on test databases only."""
    lines = files("spider_data").joinpath("checksums.tsv").read_text(encoding="utf-8").splitlines()[1:]
    rows = (line.split("\t") for line in lines)
    return tuple(
        OfficialFile(folder=path.split("/")[0], db_id=path.split("/")[1], sha256=digest, size_bytes=int(size))
        for path, digest, size in rows
    )


def looks_official(catalog: DatabaseCatalog) -> bool:
    """Whether most databases here have the name of an official one."""
    names = {file.db_id for file in official_files()}
    return bool(catalog.ids) and 2 * sum(db_id in names for db_id in catalog.ids) > len(catalog.ids)


def check_official(
    catalog: DatabaseCatalog, needed: Mapping[str, int], on_file: Callable[[str], None]
) -> tuple[set[Path], list[Finding]]:
    """The files whose bytes are official, and findings for missing, altered and extra files.

    The test copy of a train or dev database may be absent, because the catalog finds the other copy. `needed` counts
    the tasks of each `db_id`. `on_file` receives each file's name before the file is read.
    """
    genuine: set[Path] = set()
    seen: set[Path] = set()
    findings: list[Finding] = []
    table = official_files()
    main_ids = {file.db_id for file in table if file.folder == "database"}
    for file in table:
        path = _place(catalog, file)
        where = f"{file.folder}/{file.db_id}/{file.db_id}.sqlite"
        if path is None:
            if file.folder == "database" or file.db_id not in main_ids:
                used = "train or dev" if file.folder == "database" else "test"
                reason = f"an official {used} database, not at {where}"
                findings.append(fault(Kind.MISSING, file.db_id, reason, needed.get(file.db_id, 0)))
            continue
        if path in seen:
            continue
        seen.add(path)
        on_file(where)
        if path.stat().st_size == file.size_bytes and sha256_of(path) == file.sha256:
            genuine.add(path)
        else:
            findings.append(fault(Kind.ALTERED, where, "not the official file", needed.get(file.db_id, 0)))
    official_ids = {file.db_id for file in table}
    findings += [
        note(Kind.EXTRA, db_id, "not an official database") for db_id in catalog.ids if db_id not in official_ids
    ]
    return genuine, findings


def check_readable(
    catalog: DatabaseCatalog, genuine: set[Path], *, deep: bool, on_file: Callable[[str], None]
) -> list[Finding]:
    """Damaged files, empty databases and leftovers.

    Files known to be `genuine` are not searched for damage unless `deep`.
    """
    findings: list[Finding] = []
    for folder in _database_folders(catalog):
        for path in sorted(folder.iterdir()):
            name = f"{folder.parent.name}/{folder.name}/{path.name}"
            if path.suffix != ".sqlite":
                if ".sqlite" in path.name:
                    findings.append(note(Kind.LEFTOVER, name, "ignored here; remove it before using other tools"))
                continue
            on_file(name)
            if path.is_symlink() and not path.exists():
                findings.append(fault(Kind.DAMAGED, name, f"a link to {path.readlink()}, which is gone"))
                continue
            findings += _inside(path, name, search=deep or path not in genuine)
    return findings


def _inside(path: Path, name: str, *, search: bool) -> Iterator[Finding]:
    try:
        with open_readonly(path, deadline_s=600) as connection:
            found = damage(connection) if search else ""
            if found:
                yield fault(Kind.DAMAGED, name, f"SQLite finds: {found}")
            elif path.stem == path.parent.name and is_empty(connection):
                yield note(Kind.EMPTY, path.stem, "no table has a row, so any query with an empty result looks right")
    except (DatabaseUnreadableError, SourceNotFoundError, SourceUnreadableError, sqlite3.Error) as error:
        yield fault(Kind.DAMAGED, name, str(error.__cause__ or error))


def _place(catalog: DatabaseCatalog, file: OfficialFile) -> Path | None:
    """The path of the file in this folder; when the data folder is itself a database folder, both kinds are there."""
    for base in catalog.folders:
        path = base / file.db_id / f"{file.db_id}.sqlite"
        if (base == catalog.root or base.name == file.folder) and path.is_file():
            return path
    return None


def _database_folders(catalog: DatabaseCatalog) -> list[Path]:
    """Folders that hold a database, complete or not; other folders are ignored."""
    folders = (folder for base in catalog.folders for folder in base.iterdir())
    return sorted(folder for folder in folders if folder.is_dir() and any(folder.glob("*.sqlite")))
