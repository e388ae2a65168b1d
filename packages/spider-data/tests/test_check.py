"""Looking a data folder over."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from spider_data import CheckReport, check_data, convert_spider, read_tasks, write_tasks
from spider_data.check.files import official_files
from spider_data.cli.main import main
from spider_data.errors import ManifestInvalidError
from spider_data.spider.convert import EMPTY_DATABASES


@pytest.fixture
def data(spider: Path, tmp_path: Path) -> Path:
    """A converted folder without faults."""
    convert_spider(spider, tmp_path / "data")
    return tmp_path / "data"


def found(report: CheckReport, severity: str = "fault") -> dict[str, set[str]]:
    """Subjects by kind."""
    kinds: dict[str, set[str]] = {}
    for finding in report.findings:
        if finding.severity == severity:
            kinds.setdefault(str(finding.kind), set()).add(finding.subject)
    return kinds


def test_a_good_folder_has_no_faults(data: Path) -> None:
    """Counts of what was looked at, and nothing to complain about."""
    report = check_data(data, official=False)
    assert report.ok
    assert report.findings == ()
    assert (report.databases, report.variants) == (6, 0)
    assert report.tasks["train_spider"] == 15


def test_checking_changes_nothing(data: Path, contents: Callable[[Path], dict[str, bytes]]) -> None:
    """No journal, no repair, no cache."""
    before = contents(data)
    check_data(data, official=False, deep=True)
    assert contents(data) == before


def test_damage_is_found_in_each_of_its_forms(data: Path, database: Callable[..., Path]) -> None:
    """Text under the name, a torn page and a dead link are damage; a file of zero bytes is an empty database."""
    base = data / "database"
    for name in ("bakery", "ferry", "library"):
        (base / name / f"{name}.sqlite").unlink()
    (base / "bakery" / "bakery.sqlite").write_text("this is text, and long enough to be no database header" * 9)
    whole = database(data.parent / "whole.sqlite")
    torn = bytearray(whole.read_bytes())
    torn[4096:4200] = b"\xff" * 104
    (base / "ferry" / "ferry.sqlite").write_bytes(torn)
    (base / "library" / "library.sqlite").touch()
    (data.parent / "source" / "database" / "orchard" / "orchard.sqlite").unlink()
    report = check_data(data, official=False)
    assert found(report)["damaged"] == {
        "database/bakery/bakery.sqlite",
        "database/ferry/ferry.sqlite",
        "database/orchard/orchard.sqlite",
    }
    assert found(report, "note")["empty"] == {"library"}


def test_an_empty_database_is_named(data: Path, database: Callable[..., Path]) -> None:
    """Tables without rows: a note, because any query with an empty result looks right there."""
    (data / "database" / "ferry" / "ferry.sqlite").unlink()
    database(data / "database" / "ferry" / "ferry.sqlite", ["DELETE FROM item"])
    report = check_data(data, official=False)
    assert report.ok
    assert found(report, "note") == {"empty": {"ferry"}}


def test_leftovers_are_noted(data: Path) -> None:
    """Other tools take every name that contains `.sqlite` for a database."""
    (data / "database" / "ferry" / "ferry.sqlite-journal").touch()
    (data / "database" / "ferry" / "schema.sql").touch()
    assert found(check_data(data, official=False), "note") == {"leftover": {"database/ferry/ferry.sqlite-journal"}}


def test_tasks_need_their_databases(data: Path) -> None:
    """One fault for each database, with the files and the number of tasks."""
    tasks = read_tasks(data / "dev.parquet")
    for folder in ("database", "test_database"):
        (data / folder / "museum" / "museum.sqlite").unlink()
    report = check_data(data, official=False)
    assert found(report) == {"no database": {"museum"}}
    assert report.faults[0].tasks == len(tasks)
    assert report.faults[0].detail == "needed by dev.parquet"


def test_a_bad_task_file_is_a_fault_and_the_others_are_still_read(data: Path) -> None:
    """The schema error is told; the rest of the check goes on."""
    (data / "dev.parquet").write_text("no")
    report = check_data(data, official=False)
    assert found(report) == {"bad tasks": {"dev.parquet"}}
    assert "dev" not in report.tasks
    assert "test" in report.tasks


def test_a_question_in_two_splits_is_a_duplicate(data: Path) -> None:
    """Case and blanks do not make another question; the same database in both is a fault of its own."""
    train, dev = read_tasks(data / "train.parquet"), read_tasks(data / "dev.parquet")
    stolen = dev[0].to_row() | {"question": f"  {dev[0].question.upper()}", "task_id": "stolen", "query": "SELECT 0"}
    write_tasks(data / "train.parquet", [*train, type(dev[0]).from_row(stolen)])
    manifest = json.loads((data / "manifest.json").read_text())
    manifest["rows"]["train.parquet"] += 1
    (data / "manifest.json").write_text(json.dumps(manifest))
    names = "train.parquet, dev.parquet"
    assert found(check_data(data, official=False)) == {"duplicate": {names}, "shared": {names}}


def test_a_file_that_the_manifest_does_not_know(data: Path) -> None:
    """Rows cut away by hand are noticed, and so are ids that occur twice."""
    dev = read_tasks(data / "dev.parquet")
    write_tasks(data / "dev.parquet", [*dev[:2], dev[0]])
    assert found(check_data(data, official=False)) == {"altered": {"dev.parquet"}, "bad tasks": {"dev.parquet"}}


def test_a_manifest_that_is_none(data: Path) -> None:
    """Said at once, because it decides which rules apply."""
    (data / "manifest.json").write_text("[]")
    with pytest.raises(ManifestInvalidError, match=r"manifest\.json"):
        check_data(data)


def test_official_rules_apply_where_they_should(spider: Path, data: Path, tmp_path: Path) -> None:
    """By the manifest; without one by the databases' names; and as told."""
    assert check_data(data).official
    assert not check_data(spider).official
    assert check_data(spider, official=True).official
    for db_id in ("academic", "world_1"):
        (tmp_path / "names" / db_id).mkdir(parents=True)
        (tmp_path / "names" / db_id / f"{db_id}.sqlite").touch()
    assert check_data(tmp_path / "names").official


def test_extra_databases_and_all_the_missing(data: Path) -> None:
    """Ours are six that Spider does not have, and all of Spider's 206 are missing, with the tasks that need them."""
    report = check_data(data)
    assert len(found(report)["missing"]) == 206
    assert found(report, "note")["extra"] == {"bakery", "ferry", "harbour", "library", "museum", "orchard"}


def test_the_shipped_table() -> None:
    """166 train and dev databases, 206 test ones, of which 40 are on their own; the empty ones are among the first."""
    ids = {
        folder: {file.db_id for file in official_files() if file.folder == folder}
        for folder in ("database", "test_database")
    }
    assert len(official_files()) == 372
    assert {folder: len(names) for folder, names in ids.items()} == {"database": 166, "test_database": 206}
    assert len(ids["test_database"] - ids["database"]) == 40
    assert set(EMPTY_DATABASES) <= ids["database"]


def test_the_command_speaks_to_people_and_machines(data: Path) -> None:
    """A table, or one JSON object; exit code 0, 1 for faults, 2 when nothing could be checked."""
    runner = CliRunner()
    good = runner.invoke(main, ["check", str(data), "--no-official"])
    assert good.exit_code == 0
    assert "no faults" in good.stdout
    assert "6 databases" in good.stdout
    bad = runner.invoke(main, ["check", str(data), "--official", "--json"])
    assert bad.exit_code == 1
    report = json.loads(bad.stdout)
    assert report["ok"] is False
    assert len(report["findings"]) == 212
    people = runner.invoke(main, ["check", str(data), "--official"], env={"COLUMNS": "200"})
    assert people.exit_code == 1
    assert "206 faults" in people.stdout
    none = runner.invoke(main, ["check", str(data / "nothing")])
    assert none.exit_code == 2
    assert "no data folder" in none.stderr


@pytest.mark.data
def test_the_real_databases(real: Path) -> None:
    """One altered, two and forty missing, seven empty, and nothing else to say."""
    report = check_data(real / "database")
    assert report.official
    assert found(report)["altered"] == {"database/wta_1/wta_1.sqlite"}
    test_only = {file.db_id for file in official_files()} - {
        f.db_id for f in official_files() if f.folder == "database"
    }
    assert found(report)["missing"] == {"soccer_1", "baseball_1"} | test_only
    assert set(found(report)) == {"altered", "missing"}
    assert found(report, "note") == {"empty": set(EMPTY_DATABASES)}
    assert report.verified == 163
    assert len(report.faults) == 43
