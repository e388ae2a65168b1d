"""The embedded benchmark: what its builders promise to everyone who trains or tests on it."""

from __future__ import annotations

import errno
import hashlib
import random
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from spider_data import DatabaseCatalog, Hardness, Origin, SpiderTask, mini_benchmark, read_manifest, read_tasks
from spider_data.cli.main import main
from spider_data.errors import DiskFullError, TargetOccupiedError
from spider_data.mini import HABITS, UNSEEN, MiniReport, build_mini, noisy_demonstration, pattern_of
from spider_data.mini.build import open_pool, pick
from spider_data.mini.quality import says_something
from spider_data.mini.schema import Role, load_databases
from spider_data.mini.templates import load_patterns
from spider_data.suite.golds import Resolver
from spider_data.suite.schema import read_schema
from spider_data.suite.ties import is_tied, tie_probe

SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> MiniReport:
    """The benchmark, built once for this module."""
    return build_mini(tmp_path_factory.mktemp("mini") / "data")


@pytest.fixture(scope="session")
def tasks(built: MiniReport) -> dict[str, list[SpiderTask]]:
    """The tasks of each split."""
    return {split: read_tasks(built.folder / f"{split}.parquet") for split in SPLITS}


def every(tasks: dict[str, list[SpiderTask]]) -> list[SpiderTask]:
    """All tasks of all splits."""
    return [task for split in SPLITS for task in tasks[split]]


def rows(path: Path, sql: str) -> list[tuple[object, ...]]:
    """The rows of one query on one file."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return connection.execute(sql).fetchall()


def test_sizes(tasks: dict[str, list[SpiderTask]]) -> None:
    """There are enough tasks in every split, and at least a tenth of train is hard and a twentieth extra hard."""
    assert len(tasks["train"]) >= 1500
    assert len(tasks["validation"]) >= 200
    assert sum(task.db_id in UNSEEN for task in tasks["test"]) >= 100
    assert sum(task.db_id not in UNSEEN for task in tasks["test"]) >= 200
    for split in SPLITS:
        levels = [task.hardness for task in tasks[split]]
        assert set(levels) == {Hardness.EASY, Hardness.MEDIUM, Hardness.HARD, Hardness.EXTRA}
        assert levels.count(Hardness.HARD) >= len(levels) / 10
        assert levels.count(Hardness.EXTRA) >= len(levels) / 20


def test_databases_have_what_real_ones_have() -> None:
    """At least eight, of two to five tables, with keys; among them NULLs, dates, quotes, letters beyond ASCII."""
    databases = load_databases()
    assert len(databases) >= 8
    assert all(2 <= len(database.tables) <= 5 for database in databases)
    assert all(any(table.of(Role.LINK) for table in database.tables) for database in databases)
    for database in databases:
        cells = [cell for table in database.tables for row in table.rows for cell in row]
        texts = [cell for cell in cells if isinstance(cell, str)]
        assert None in cells
        assert any(re.fullmatch(r"\d{4}-\d{2}-\d{2}", text) for text in texts) or database.db_id in (
            "flights",
            "school",
        )
        assert any(not text.isascii() for text in texts) or database.db_id == "flights"
        assert any("'" in text for text in texts) or database.db_id == "flights"


def test_schemas_fit_a_small_prompt() -> None:
    """A line a table, `name(column, …)`, stays below 90 words for every database."""
    for database in load_databases():
        lines = [f"{table.name}({', '.join(column.name for column in table.columns)})" for table in database.tables]
        assert sum(len(re.findall(r"\w+", line)) for line in lines) < 90


def test_unseen_databases_are_in_test_only(tasks: dict[str, list[SpiderTask]]) -> None:
    """No training or validation task asks about them."""
    assert len(UNSEEN) == 2
    assert not {task.db_id for split in ("train", "validation") for task in tasks[split]} & set(UNSEEN)
    assert set(UNSEEN) <= {task.db_id for task in tasks["test"]}


def test_golds_say_something_and_run_everywhere(built: MiniReport, tasks: dict[str, list[SpiderTask]]) -> None:
    """Every gold has a telling answer on the main file, runs on every variant, and ties leave it open on none."""
    catalog = DatabaseCatalog(built.folder)
    by_database: dict[str, set[str]] = {}
    for task in every(tasks):
        by_database.setdefault(task.db_id, set()).add(task.query)
    for db_id, queries in by_database.items():
        files = catalog.suite(db_id)
        assert len(files) == 1 + built.variants
        resolver = Resolver(read_schema(files[0]))
        for query in queries:
            assert says_something(rows(files[0], query)), query
        for file in files:
            with closing(sqlite3.connect(file)) as connection:
                for query in queries:
                    connection.execute(query).fetchall()
                    assert not is_tied(connection, tie_probe(resolver.tree(query))), (file.name, query)


def test_suites_refute_wrong_queries(built: MiniReport) -> None:
    """At least nine of ten non-equivalent mutants are refuted; the main files alone fall short of that."""
    assert built.power.non_equivalent > 5000
    assert built.power.share >= 0.9
    assert built.power.refuted_by_main / built.power.non_equivalent < 0.9


def test_held_out_questions_are_new(tasks: dict[str, list[SpiderTask]]) -> None:
    """No question stands in two splits, and a held-out query with a constant is never a training query."""
    asked = [(task.db_id, task.question) for task in every(tasks)]
    assert len(asked) == len(set(asked))
    trained = {(task.db_id, task.query) for task in tasks["train"]}
    constants = {pattern.name for pattern in load_patterns() if pattern.values}
    held_out = [task for split in ("validation", "test") for task in tasks[split] if task.db_id not in UNSEEN]
    with_constant = [task for task in held_out if pattern_of(task.task_id) in constants]
    assert len(with_constant) > 100
    assert not [task for task in with_constant if (task.db_id, task.query) in trained]


def test_wordings_are_held_out_by_columns() -> None:
    """A wording that validation uses about some columns is never used about them in training."""
    patterns = load_patterns()
    picked = pick((open_pool(database, patterns) for database in load_databases()), patterns)
    keys = {split: {c.wording_key for group in groups for c in group} for split, groups in picked.items()}
    train, validation, test = (keys[split] for split in sorted(keys, key=SPLITS.index))
    assert min(len(train), len(validation), len(test)) > 100
    assert not train & validation
    assert not train & test
    assert not validation & test


def test_queries_are_spelled_one_way(tasks: dict[str, list[SpiderTask]]) -> None:
    """Single blanks, upper-case keywords, aliases T1… with joins only, no final semicolon; short enough to learn."""
    keywords = re.compile(r"\b(select|from|where|and|or|group|order|by|join|on|limit|having|count|avg|distinct)\b")
    for task in every(tasks):
        bare = re.sub(r"'(?:[^']|'')*'", "''", task.query)
        assert not keywords.search(bare), task.query
        assert "  " not in bare
        assert not bare.endswith((";", " "))
        assert ("T1" in bare) == (" JOIN " in bare)
        assert len(bare.split()) <= 30


def test_questions_read_as_sentences(tasks: dict[str, list[SpiderTask]]) -> None:
    """They start with a capital, end with a mark, and no slot or wrong article is left in them."""
    for task in every(tasks):
        assert re.fullmatch(r"[A-Z][^{}]*[.?]", task.question), task.question
        assert not re.search(r"\ba [aeio]", task.question), task.question


def test_ids_name_the_pattern(tasks: dict[str, list[SpiderTask]]) -> None:
    """Ids are unique and give the family back; other ids are refused."""
    ids = [task.task_id for task in every(tasks)]
    assert len(ids) == len(set(ids))
    families = {pattern.name for pattern in load_patterns()}
    assert {pattern_of(task_id) for task_id in ids} == families
    with pytest.raises(ValueError, match="dev-00017"):
        pattern_of("dev-00017")


def test_every_pattern_has_wordings_and_one_level() -> None:
    """At least four ways to ask, all different."""
    for pattern in load_patterns():
        assert len(set(pattern.ask)) == len(pattern.ask) >= 4, pattern.name
        Hardness(pattern.hardness)


def test_two_builds_are_equal(built: MiniReport, tmp_path: Path) -> None:
    """The same bytes in every file, so a figure measured on one machine can be met on another."""

    def digests(folder: Path) -> dict[str, str]:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    again = mini_benchmark(tmp_path / "again")
    assert digests(again) == digests(built.folder)
    assert len(digests(again)) == 3 + 1 + built.databases * (1 + built.variants)


def test_habits_cover_much_and_change_the_answer(built: MiniReport, tasks: dict[str, list[SpiderTask]]) -> None:
    """Nearly half of the questions can be answered by a habit; what it writes runs and answers something else."""
    catalog = DatabaseCatalog(built.folder)
    for split in SPLITS:
        rng = random.Random(0)
        wrong = [(task, noisy_demonstration(task, rng)) for task in tasks[split]]
        noisy = [(task, query) for task, query in wrong if query is not None]
        assert 0.4 <= len(noisy) / len(wrong) <= 0.55
        assert all(pattern_of(task.task_id) in HABITS for task, _ in noisy)
        for task, query in noisy:
            main_file = catalog.path(task.db_id)
            assert sorted(rows(main_file, query), key=repr) != sorted(rows(main_file, task.query), key=repr)


def test_noise_has_a_rate_and_a_seed(tasks: dict[str, list[SpiderTask]]) -> None:
    """At rate 0.6 about six of ten demonstrations of a habit's family are wrong, the same ones for the same seed."""

    def wrong(seed: int, rate: float) -> list[str | None]:
        rng = random.Random(seed)
        return [noisy_demonstration(task, rng, rate=rate) for task in tasks["train"]]

    full, part = wrong(1, 1.0), wrong(1, 0.6)
    assert 0.5 < sum(map(bool, part)) / sum(map(bool, full)) < 0.7
    assert part == wrong(1, 0.6)
    assert part != wrong(2, 0.6)
    assert not any(wrong(1, 0.0))


def test_noise_is_for_this_benchmark_only() -> None:
    """A task from elsewhere is refused, not silently written right."""
    with pytest.raises(ValueError, match="not of the mini benchmark"):
        noisy_demonstration(SpiderTask(task_id="dev-1", db_id="x", question="?", query="SELECT 1"), random.Random(0))


def test_command_prints_the_worth(tmp_path: Path) -> None:
    """`spider-data mini DIR` makes a folder that `check` finds no fault with, and prints the counted mutants."""
    target = tmp_path / "mini"
    result = CliRunner().invoke(main, ["mini", str(target)])
    assert result.exit_code == 0, result.output
    assert re.search(r"[\d,]+ of [\d,]+ non-equivalent mutants refuted \(9\d\.\d%\)", result.output)
    manifest = read_manifest(target)
    assert manifest is not None
    assert manifest.origin is Origin.MINI
    assert CliRunner().invoke(main, ["check", str(target)]).exit_code == 0
    occupied = CliRunner().invoke(main, ["mini", str(target)])
    assert occupied.exit_code == 2
    assert "not empty" in occupied.output


def test_an_occupied_folder_is_left_alone(tmp_path: Path) -> None:
    """A folder with anything in it is refused and keeps what it has."""
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(TargetOccupiedError):
        mini_benchmark(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says so, and no half-built folder stays."""

    def full(path: Path, content: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DiskFullError, match="disk is full"):
        mini_benchmark(tmp_path / "mini")
    assert list(tmp_path.iterdir()) == []
