"""From a `db_id` to its files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from spider_data import DatabaseCatalog, DatabaseNotFoundError
from spider_data.errors import SourceNotFoundError


def test_a_suite_is_the_main_file_and_its_variants_in_natural_order(spider: Path) -> None:
    """`_v2` comes before `_v10`, and leftovers of SQLite and of editors are no databases."""
    folder = spider / "database" / "bakery"
    for name in ("bakery_v10", "bakery_v2", "bakery_v1", "abc"):
        (folder / f"{name}.sqlite").touch()
    for name in ("bakery.sqlite-journal", "bakery.sqlite-wal", "bakery.sqlite.bak", "schema.sql"):
        (folder / name).touch()
    (folder / "folder.sqlite").mkdir()
    catalog = DatabaseCatalog(spider)
    names = [path.name for path in catalog.suite("bakery")]
    assert names == ["bakery.sqlite", "abc.sqlite", "bakery_v1.sqlite", "bakery_v2.sqlite", "bakery_v10.sqlite"]
    assert catalog.path("bakery") == folder / "bakery.sqlite"


def test_database_comes_before_test_database(spider: Path) -> None:
    """A database in both folders is taken from the first, one that is only in the second is found there."""
    catalog = DatabaseCatalog(spider)
    assert catalog.path("museum").parts[-3] == "database"
    assert catalog.path("harbour").parts[-3] == "test_database"
    assert catalog.ids == ("bakery", "ferry", "harbour", "library", "museum", "orchard")
    assert "harbour" in catalog
    assert "nowhere" not in catalog


def test_a_database_folder_alone_is_enough(spider: Path) -> None:
    """The catalog also takes the folder that holds the databases."""
    assert DatabaseCatalog(spider / "database").path("ferry") == spider / "database" / "ferry" / "ferry.sqlite"


def test_what_is_not_found_names_both_places_and_the_nearest(spider: Path) -> None:
    """A slip of the pen gets the right id offered; the places are also fields of the error."""
    with pytest.raises(DatabaseNotFoundError) as caught:
        DatabaseCatalog(spider).suite("bakry")
    for folder in ("database", "test_database"):
        assert str(spider / folder / "bakry" / "bakry.sqlite") in str(caught.value)
    assert "did you mean 'bakery'" in str(caught.value)
    assert caught.value.nearest[0] == "bakery"
    assert len(caught.value.tried) == 2


@pytest.mark.parametrize("db_id", ["../source/database/bakery", "", ".", "..", "a/b", "a\0b", "a\\b"])
def test_no_id_leads_out_of_the_folder(spider: Path, db_id: str) -> None:
    """An id is one folder name; anything else is not found, whatever lies there."""
    (spider / "database" / "database.sqlite").touch()
    with pytest.raises(DatabaseNotFoundError):
        DatabaseCatalog(spider).path(db_id)


def test_the_root_comes_from_the_environment(spider: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without an argument `$VERL_SPIDER_DATA_DIR` is the root, and without that `data`, as in the tutorial."""
    monkeypatch.setenv("VERL_SPIDER_DATA_DIR", str(spider))
    assert DatabaseCatalog().root == spider
    monkeypatch.delenv("VERL_SPIDER_DATA_DIR")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceNotFoundError, match=r"no data folder 'data'.*VERL_SPIDER_DATA_DIR"):
        DatabaseCatalog()


def test_looking_changes_nothing(spider: Path, contents: Callable[[Path], dict[str, bytes]]) -> None:
    """No file is copied, opened for writing or made."""
    before = contents(spider)
    catalog = DatabaseCatalog(spider)
    _ = [catalog.suite(db_id) for db_id in catalog.ids]
    assert contents(spider) == before
