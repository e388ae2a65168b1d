"""From the official folder or zip to a data folder."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from spider_data import ConvertOptions, DatabaseCatalog, check_data, convert_spider, read_manifest, read_tasks
from spider_data.errors import OptionInvalidError, SourceNotFoundError
from spider_data.spider.convert import EMPTY_DATABASES, TEST_ROWS

Contents = Callable[[Path], dict[str, bytes]]


def rows(folder: Path, stem: str) -> list[tuple[str, str]]:
    return [(task.task_id, task.db_id) for task in read_tasks(folder / f"{stem}.parquet")]


def test_every_file_has_its_rows(spider: Path, tmp_path: Path) -> None:
    """Question files come over row by row; ids say where a task came from."""
    manifest = convert_spider(spider, tmp_path / "data")
    counts = {"train_spider": 15, "train_others": 5, "dev": 4, "test": 6}
    assert {name: manifest.rows[f"{name}.parquet"] for name in counts} == counts
    assert {name: len(rows(tmp_path / "data", name)) for name in counts} == counts
    assert rows(tmp_path / "data", "dev")[3] == ("dev-00003", "museum")
    assert read_manifest(tmp_path / "data") == manifest


def test_splits_share_no_row_and_train_no_database(spider: Path, tmp_path: Path) -> None:
    """Train and validation are carved from all training rows, as whole databases."""
    convert_spider(spider, tmp_path / "data", options=ConvertOptions(validation_share=0.3))
    parts = {stem: rows(tmp_path / "data", stem) for stem in ("train", "validation", "dev", "test")}
    pool = rows(tmp_path / "data", "train_spider") + rows(tmp_path / "data", "train_others")
    assert sorted(parts["train"] + parts["validation"]) == sorted(pool)
    assert parts["validation"]
    databases = {stem: {db_id for _, db_id in part} for stem, part in parts.items()}
    assert not databases["train"] & (databases["validation"] | databases["dev"] | databases["test"])
    assert not check_data(tmp_path / "data", official=False).faults
    assert {task.split for task in read_tasks(tmp_path / "data" / "validation.parquet")} == {"validation"}


def test_the_seed_chooses_and_nothing_else(spider: Path, tmp_path: Path) -> None:
    """Different seeds hold out different databases; the manifest names them."""
    chosen = {
        tuple(
            convert_spider(spider, tmp_path / f"data{seed}", options=ConvertOptions(seed=seed)).settings[
                "validation_databases"
            ]
        )
        for seed in range(8)
    }
    assert len(chosen) > 1


def test_twice_gives_the_same_bytes(spider: Path, zipped: Path, tmp_path: Path, contents: Contents) -> None:
    """In another place, from another process' view, and again over the first result."""
    convert_spider(spider, tmp_path / "a")
    convert_spider(spider, tmp_path / "deep" / "b")
    first = contents(tmp_path / "a")
    assert contents(tmp_path / "deep" / "b") == first
    convert_spider(spider, tmp_path / "a")
    assert contents(tmp_path / "a") == first
    convert_spider(zipped, tmp_path / "c")
    from_zip = contents(tmp_path / "c")
    assert set(from_zip) == set(first)
    assert {name for name in first if from_zip[name] != first[name]} == {"manifest.json"}


def test_databases_are_linked_not_copied(spider: Path, tmp_path: Path) -> None:
    """Each file is a link in a real folder, so that a suite made here does not land in the source."""
    convert_spider(spider, tmp_path / "data")
    catalog = DatabaseCatalog(tmp_path / "data")
    assert catalog.ids == DatabaseCatalog(spider).ids
    for db_id in catalog.ids:
        link = catalog.path(db_id)
        assert link.is_symlink()
        assert not link.parent.is_symlink()
        assert link.resolve().is_relative_to(spider.resolve())


def test_a_zip_is_unpacked_once_and_only_what_is_read(zipped: Path, tmp_path: Path) -> None:
    """Databases and task files are there; dumps, litter, raw questions and temporary folders are not."""
    convert_spider(zipped, tmp_path / "data")
    names = {file.name for file in (tmp_path / "data").rglob("*") if file.is_file()}
    assert "bakery.sqlite" in names
    assert not {"schema.sql", "._train_spider.json", "dev.json"} & names
    assert not list((tmp_path / "data").rglob(".*"))
    assert not check_data(tmp_path / "data", official=False).faults


def test_a_flat_zip_works_too(spider: Path, tmp_path: Path) -> None:
    """The tutorial's bundle has no wrapping folder."""
    with zipfile.ZipFile(tmp_path / "flat.zip", "w") as packed:
        for file in sorted(file for file in spider.rglob("*") if file.is_file()):
            packed.write(file, file.relative_to(spider))
    assert convert_spider(tmp_path / "flat.zip", tmp_path / "data").rows["dev.parquet"] == 4


def test_the_tutorials_parquet_is_a_source_too(spider: Path, tmp_path: Path, contents: Contents) -> None:
    """A folder with Parquet files instead of JSON gives the same task files."""
    import pandas as pd

    convert_spider(spider, tmp_path / "from_json")
    for path in spider.glob("*.json"):
        if path.stem != "tables":
            columns = pd.DataFrame(json.loads(path.read_text()))[["db_id", "question", "query"]]
            columns.to_parquet(path.with_suffix(".parquet"), index=False)
            path.unlink()
    convert_spider(spider, tmp_path / "from_parquet")
    one, other = contents(tmp_path / "from_json"), contents(tmp_path / "from_parquet")
    assert {name for name in one if one[name] != other[name]} == {"manifest.json"}


def test_the_old_layout_has_no_test(spider: Path, tmp_path: Path) -> None:
    """Without test questions the rest is converted, and the manifest says so."""
    (spider / "test.json").unlink()
    manifest = convert_spider(spider, tmp_path / "data")
    assert "test.parquet" not in manifest.rows
    assert "the source has no test questions" in manifest.notes


def test_in_place_adds_task_files_and_leaves_the_rest(spider: Path, contents: Contents) -> None:
    """Source and target may be one folder; no link to itself is made."""
    before = contents(spider)
    convert_spider(spider, spider)
    after = contents(spider)
    assert {name: after[name] for name in before} == before
    added = {"train_spider", "train_others", "dev", "test", "train", "validation"}
    assert set(after) - set(before) == {f"{stem}.parquet" for stem in added} | {"manifest.json"}
    assert not [file for file in spider.rglob("*") if file.is_symlink()]


def test_in_place_keeps_parquet_that_was_the_source(spider: Path, contents: Contents) -> None:
    """The tutorial's own files are not rewritten."""
    convert_spider(spider, spider)
    for path in [*spider.glob("*.json"), *spider.glob("train.*"), *spider.glob("validation.*")]:
        path.unlink()
    before = contents(spider)
    convert_spider(spider, spider)
    after = contents(spider)
    assert {name: after[name] for name in before} == before
    assert "train.parquet" in after


def test_converting_again_keeps_a_suite(spider: Path, tmp_path: Path) -> None:
    """Variants generated in the target survive a second conversion."""
    convert_spider(spider, tmp_path / "data")
    variant = tmp_path / "data" / "database" / "bakery" / "bakery_v1.sqlite"
    variant.write_bytes(b"mine")
    convert_spider(spider, tmp_path / "data")
    assert variant.read_bytes() == b"mine"


def test_converting_again_leaves_nothing_stale(spider: Path, tmp_path: Path) -> None:
    """A file that the source has no more goes, and a link whose source moved is made anew."""
    convert_spider(spider, tmp_path / "data")
    (spider / "test.json").unlink()
    moved = spider.rename(tmp_path / "moved")
    assert "ferry" not in DatabaseCatalog(tmp_path / "data")
    convert_spider(moved, tmp_path / "data")
    assert "ferry" in DatabaseCatalog(tmp_path / "data")
    assert not (tmp_path / "data" / "test.parquet").exists()
    assert check_data(tmp_path / "data", official=False).ok


@pytest.mark.parametrize("kind", ["folder", "in place", "zip"])
def test_databases_may_lie_elsewhere(spider: Path, zipped: Path, tmp_path: Path, kind: str) -> None:
    """A place given by option is linked, whatever the source is; the source's own are then left out."""
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(spider / "database", elsewhere)
    for folder in ("database", "test_database"):
        shutil.rmtree(spider / folder)
    source = zipped if kind == "zip" else spider
    target = spider if kind == "in place" else tmp_path / "data"
    options = ConvertOptions(databases=elsewhere, test_databases=elsewhere)
    convert_spider(source, target, options=options)
    for folder in ("database", "test_database"):
        ids = [path.name for path in sorted((target / folder).iterdir())]
        assert ids == ["bakery", "ferry", "library", "museum", "orchard"]
    assert DatabaseCatalog(target).path("ferry").resolve() == (elsewhere / "ferry" / "ferry.sqlite").resolve()


def test_an_unpacked_zip_may_be_one_folder_deeper(spider: Path, tmp_path: Path) -> None:
    """`unzip` into an empty folder leaves the wrapping folder; naming its parent is fine."""
    (tmp_path / "outer").mkdir()
    spider.rename(tmp_path / "outer" / "spider_data")
    assert convert_spider(tmp_path / "outer", tmp_path / "data").rows["dev.parquet"] == 4
    assert "museum" in DatabaseCatalog(tmp_path / "data")


def test_other_names_are_given_by_option(spider: Path, tmp_path: Path) -> None:
    """Names inside the source, and paths elsewhere."""
    (spider / "test.json").rename(tmp_path / "elsewhere.json")
    (spider / "train_spider.json").rename(spider / "mine.json")
    (spider / "database").rename(tmp_path / "dbs")
    options = ConvertOptions(
        names={"train_spider": "mine.json", "test": str(tmp_path / "elsewhere.json")}, databases=tmp_path / "dbs"
    )
    manifest = convert_spider(spider, tmp_path / "data", options=options)
    assert manifest.rows["test.parquet"] == 6
    assert set(manifest.sources) == {"mine.json", "train_others.json", "dev.json", "elsewhere.json"}
    assert "ferry" in DatabaseCatalog(tmp_path / "data")


def test_empty_official_databases_are_kept_out_of_training(spider: Path, tmp_path: Path) -> None:
    """On a database without rows any query without a result would be rewarded; an option takes them back in."""
    records = json.loads((spider / "train_others.json").read_text())
    for row in records:
        row["db_id"] = EMPTY_DATABASES[0]
    (spider / "train_others.json").write_text(json.dumps(records))
    manifest = convert_spider(spider, tmp_path / "a")
    assert len(rows(tmp_path / "a", "train_others")) == 5
    assert manifest.rows["train.parquet"] + manifest.rows["validation.parquet"] == 15
    assert any("leave out 5 tasks" in note for note in manifest.notes)
    kept = convert_spider(spider, tmp_path / "b", options=ConvertOptions(keep_empty=True))
    assert kept.rows["train.parquet"] + kept.rows["validation.parquet"] == 20


def test_stored_samples_need_the_official_test_set(spider: Path, tmp_path: Path) -> None:
    """With 2,147 rows the tutorial's samples are written; with any other number their positions mean nothing."""
    import pandas as pd

    manifest = convert_spider(spider, tmp_path / "a")
    assert "test_dev_500.parquet" not in manifest.rows
    one = json.loads((spider / "test.json").read_text())[0]
    records = [one | {"question": f"question {number}"} for number in range(TEST_ROWS)]
    (spider / "test.json").write_text(json.dumps(records))
    convert_spider(spider, tmp_path / "b")
    frame = pd.DataFrame(records)
    for stem, count, state in (("test_dev", 100, 42), ("test_dev_500", 500, 0)):
        expected = frame.sample(n=count, random_state=state)["question"].tolist()
        assert [task.question for task in read_tasks(tmp_path / "b" / f"{stem}.parquet")] == expected


def test_hardness_comes_from_the_record_or_its_parse_tree(spider: Path, tmp_path: Path) -> None:
    """A given level wins, a parse tree gives one, and a tree of another form gives none."""
    tree = {
        "from": {"table_units": [["table_unit", 0]], "conds": []},
        "select": [False, [[0, [0, [0, 1, False], None]]]],
    }
    tree |= {"where": [], "groupBy": [], "having": [], "orderBy": [], "limit": None}
    tree |= {"intersect": None, "union": None, "except": None}
    records = json.loads((spider / "dev.json").read_text())
    records[0]["sql"] = tree
    records[1] |= {"sql": tree, "hardness": "extra"}
    records[2]["sql"] = {"from": 1}
    (spider / "dev.json").write_text(json.dumps(records))
    convert_spider(spider, tmp_path / "data")
    assert [task.hardness for task in read_tasks(tmp_path / "data" / "dev.parquet")] == ["easy", "extra", "", ""]


def test_a_null_question_keeps_its_row(spider: Path, tmp_path: Path) -> None:
    """Positions stay what they are; the manifest counts the rows without a text."""
    records = json.loads((spider / "test.json").read_text())
    records[2]["question"] = None
    (spider / "test.json").write_text(json.dumps(records))
    manifest = convert_spider(spider, tmp_path / "data")
    assert [task.question == "" for task in read_tasks(tmp_path / "data" / "test.parquet")] == [False, False, True] + [
        False
    ] * 3
    assert any(note.startswith("1 rows of test have no question") for note in manifest.notes)


@pytest.mark.data
def test_the_real_data_give_the_published_counts(real: Path, tmp_path: Path, contents: Contents) -> None:
    """7,000 / 1,034 / 2,147 rows, the 500 stored rows in order, the published hardness, equal bytes twice."""
    names = {"train_spider": "train_spider_reconstructed.json", "test": "test_reconstructed.json"}
    manifest = convert_spider(real, tmp_path / "a", options=ConvertOptions(names=names))
    counted = [manifest.rows[f"{stem}.parquet"] for stem in ("train_spider", "dev", "test", "test_dev", "test_dev_500")]
    assert counted == [7000, 1034, 2147, 100, 500]
    stored = json.loads((real / "test_dev_split_indices.json").read_text())
    for stem, key in (("test_dev", "test_dev_100"), ("test_dev_500", "test_dev_500")):
        assert [task for task, _ in rows(tmp_path / "a", stem)] == [f"test-{row:05d}" for row in stored[key]]
    levels = [task.hardness for task in read_tasks(tmp_path / "a" / "dev.parquet")]
    assert [levels.count(level) for level in ("easy", "medium", "hard", "extra")] == [248, 446, 174, 166]
    convert_spider(real, tmp_path / "b", options=ConvertOptions(names=names))
    task_files = {name: data for name, data in contents(tmp_path / "a").items() if os.sep not in name}
    assert {name: (tmp_path / "b" / name).read_bytes() for name in task_files} == task_files
    parts = {
        stem: {db_id for _, db_id in rows(tmp_path / "a", stem)} for stem in ("train", "validation", "dev", "test")
    }
    assert not any(parts[one] & parts[other] for one in parts for other in parts if one < other)


RELATIVES: dict[str, dict[str, str]] = {
    "BIRD": {"query": "SQL"},
    "Spider-Syn": {"question": "SpiderSynQuestion"},
    "Spider-Realistic and Spider-DK": {},
}


@pytest.mark.parametrize("relative", RELATIVES)
@pytest.mark.parametrize("form", ["list", "lines"])
def test_relatives_are_sources_too(spider: Path, tmp_path: Path, relative: str, form: str) -> None:
    """Their keys, as a list or as JSON lines, give the same tasks as Spider's own files."""
    convert_spider(spider, tmp_path / "a")
    for path in spider.glob("*.json"):
        if path.stem != "tables":
            old = json.loads(path.read_text())
            new = [
                {RELATIVES[relative].get(key, key): value for key, value in row.items()} | {"evidence": "none"}
                for row in old
            ]
            path.write_text(json.dumps(new) if form == "list" else "\n".join(map(json.dumps, new)))
    convert_spider(spider, tmp_path / "b")
    for stem in ("train", "validation", "dev", "test"):
        assert read_tasks(tmp_path / "b" / f"{stem}.parquet") == read_tasks(tmp_path / "a" / f"{stem}.parquet")


@pytest.mark.parametrize("form", ["shards", "one file", "jsonl", "json"])
@pytest.mark.parametrize("deeper", [False, True])
def test_the_names_of_mirrors_are_found(spider: Path, tmp_path: Path, form: str, deeper: bool) -> None:
    """`train-00000-of-00002.parquet` and `validation-…`, `train.jsonl`; questions in a folder beside the databases."""
    import pandas as pd

    home = spider / "spider" if deeper else spider
    home.mkdir(exist_ok=True)
    (spider / "train_others.json").unlink()
    (spider / "test.json").unlink()
    for stem, name in (("train_spider", "train"), ("dev", "validation")):
        records = json.loads((spider / f"{stem}.json").read_text())
        (spider / f"{stem}.json").unlink()
        if form == "json":
            (home / f"{name}.json").write_text(json.dumps(records))
        elif form == "jsonl":
            (home / f"{name}.jsonl").write_text("\n".join(map(json.dumps, records)))
        else:
            parts = [records] if form == "one file" else [records[:2], records[2:]]
            for place, part in enumerate(parts):
                shard = home / f"{name}-{place:05d}-of-{len(parts):05d}.parquet"
                pd.DataFrame(part)[["db_id", "question", "query"]].to_parquet(shard)
    manifest = convert_spider(spider, tmp_path / "data")
    assert (manifest.rows["train_spider.parquet"], manifest.rows["dev.parquet"]) == (15, 4)
    assert [task for task, _ in rows(tmp_path / "data", "dev")] == [f"dev-{row:05d}" for row in range(4)]
    assert "museum" in DatabaseCatalog(tmp_path / "data")


def test_a_missing_shard_is_named(spider: Path, tmp_path: Path) -> None:
    """Half of a mirror is no source."""
    (spider / "train_spider.json").unlink()
    (spider / "train-00001-of-00002.parquet").write_bytes(b"")
    with pytest.raises(SourceNotFoundError, match="1 of 2 are there"):
        convert_spider(spider, tmp_path / "data")


def test_one_database_needs_no_validation(spider: Path, tmp_path: Path) -> None:
    """The message names the option and a value, and that value works."""
    (spider / "train_others.json").unlink()
    records = [row | {"db_id": "ferry"} for row in json.loads((spider / "train_spider.json").read_text())]
    (spider / "train_spider.json").write_text(json.dumps(records))
    with pytest.raises(OptionInvalidError, match=r"validation_share: there is one database, 'ferry'.* give 0 "):
        convert_spider(spider, tmp_path / "data")
    manifest = convert_spider(spider, tmp_path / "data", options=ConvertOptions(validation_share=0))
    assert manifest.rows["train.parquet"] == 15
