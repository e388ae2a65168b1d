"""Behaviour of the judge, case by case, and what its verdicts carry besides the outcome."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from sql_reward import DatabaseNotFoundError, GoldCache, GoldSqlError, Limits, Outcome, Rules, judge

CASES: list[dict[str, Any]] = tomllib.loads((Path(__file__).parent / "verdicts.toml").read_text())["case"]


@pytest.mark.parametrize("cached", [False, True], ids=["plain", "cached"])
@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_verdict(case: dict[str, Any], cached: bool, toy_db: Path) -> None:
    """Each written case gets the outcome its author expects, the first time and from the cache."""
    flags = {flag: True for flag in ("keep_distinct", "plug_value") if case.get(flag)}
    cache = GoldCache() if cached else None
    for _ in range(2 if cached else 1):
        verdict = judge(
            case["predicted"], case["gold"], toy_db, rules=Rules(case.get("rules", "official")), cache=cache, **flags
        )
        assert verdict.outcome == case["outcome"], verdict
        assert verdict.gold_empty is case.get("gold_empty", False)
        assert (verdict.detail == "") is verdict.matched
        assert (verdict.databases_passed, verdict.databases_total) == ((1, 1) if verdict.matched else (0, 1))


@pytest.mark.parametrize(
    ("gold", "predicted", "detail"),
    [
        ("SELECT name, age FROM singer", "SELECT name FROM singer", "1 columns instead of 2"),
        ("SELECT name FROM singer", "SELECT name FROM singer LIMIT 2", "2 rows instead of 5"),
        ("SELECT name FROM singer LIMIT 2", "SELECT name FROM singer", "more than 2 rows"),
        ("SELECT id FROM singer ORDER BY id", "SELECT id FROM singer ORDER BY id DESC", "row 1 differs: (5)"),
        ("SELECT id FROM singer", "SELECT id * 2 FROM singer", "row 3 is not expected: (6)"),
        ("SELECT age FROM singer", "SELECT 30 FROM singer", "some rows occur too often"),
    ],
)
def test_detail(gold: str, predicted: str, detail: str, toy_db: Path) -> None:
    """A mismatch says in a few words where the rows first differ, and never quotes the gold query."""
    assert judge(predicted, gold, toy_db).detail == detail


def test_no_prediction(toy_db: Path) -> None:
    """A prediction that is None is no SQL."""
    assert judge(None, "SELECT 1", toy_db).outcome is Outcome.NO_SQL


def test_broken_gold(toy_db: Path) -> None:
    """A gold query that fails raises, names the file and the query, and does so again from the cache."""
    cache = GoldCache()
    for _ in range(2):
        with pytest.raises(GoldSqlError, match=r"no_such_column.*toy\.sqlite") as caught:
            judge("SELECT 1", "SELECT no_such_column FROM singer", toy_db, cache=cache)
        assert caught.value.database == toy_db


def test_slow_gold(numbers_db: Path) -> None:
    """A gold query beyond its own deadline is an error of ours, not of the prediction."""
    with pytest.raises(GoldSqlError, match="deadline"):
        judge("SELECT 1", "SELECT count(*) FROM n a, n b, n c", numbers_db, limits=Limits(gold_deadline_s=0.05))


def test_gold_time_is_not_the_predictions(numbers_db: Path) -> None:
    """A slow gold query leaves the prediction its whole deadline."""
    gold = "SELECT count(*) FROM n a, n b WHERE a.i <= 2000"
    verdict = judge("SELECT 10000000", gold, numbers_db, limits=Limits(deadline_s=0.05))
    assert verdict.matched, verdict


def test_suite(tmp_path: Path, make_suite: Any) -> None:
    """A suite is judged main file first and stops at the first file that tells the queries apart."""
    folder = make_suite(tmp_path / "toy", ["(1)", "(1), (1)", "(2)"])
    assert judge("SELECT i FROM t", "SELECT i FROM t", folder).databases_passed == 3
    verdict = judge("SELECT DISTINCT i FROM t", "SELECT i FROM t", folder, keep_distinct=True)
    assert (verdict.outcome, verdict.databases_passed, verdict.databases_total) == ("mismatch", 1, 3)
    assert judge("SELECT 1", "SELECT i FROM t", [folder / "toy.sqlite"]).matched


def test_stray_files_are_no_databases(tmp_path: Path, make_suite: Any) -> None:
    """Journals, logs and backups beside a database do not belong to its suite."""
    folder = make_suite(tmp_path / "toy", ["(1)"])
    for name in ("toy.sqlite-journal", "toy.sqlite.bak", "toy.sqlite-shm", "notes.txt"):
        (folder / name).write_text("stray")
    assert judge("SELECT 1", "SELECT i FROM t", folder).databases_total == 1


@pytest.mark.parametrize("where", ["missing.sqlite", "empty_folder", "\0"])
def test_no_database(where: str, tmp_path: Path) -> None:
    """A missing file and a folder without databases are errors, never a verdict."""
    (tmp_path / "empty_folder").mkdir()
    with pytest.raises(DatabaseNotFoundError):
        judge("SELECT 1", "SELECT 1", tmp_path / where)
    with pytest.raises(DatabaseNotFoundError):
        judge("SELECT 1", "SELECT 1", [])


def test_gold_runs_once(toy_db: Path) -> None:
    """With a cache, a task's second rollout does not run the gold query, and a repeated prediction runs nothing."""
    cache = GoldCache()
    judge("SELECT 1", "SELECT count(*) FROM singer", toy_db, cache=cache)
    judge("SELECT 2", "SELECT count(*) FROM singer", toy_db, cache=cache)
    assert (cache.hits, cache.misses, len(cache)) == (1, 3, 3)
    judge("SELECT 2", "SELECT count(*) FROM singer", toy_db, cache=cache)
    assert (cache.hits, cache.misses, len(cache)) == (2, 3, 3)


def test_cache_is_bounded(toy_db: Path) -> None:
    """The cache never keeps more than its bytes, and forgets the oldest first."""
    cache = GoldCache(max_bytes=20_000)
    for number in range(100):
        judge(f"SELECT {number}", "SELECT count(*) FROM singer", toy_db, cache=cache)
    assert len(cache) < 20
    assert judge("SELECT 99", "SELECT count(*) FROM singer", toy_db, cache=cache).outcome == "mismatch"


def test_a_changed_database_is_another(tmp_path: Path, make_suite: Any) -> None:
    """After a database file is replaced, neither its connection nor its cached gold result is used any more."""
    cache = GoldCache()
    folder = make_suite(tmp_path / "toy", ["(1)"])
    assert judge("SELECT 1", "SELECT i FROM t", folder, cache=cache).matched
    (folder / "toy.sqlite").unlink()
    make_suite(folder, ["(2), (3)"])
    assert judge("SELECT 1", "SELECT i FROM t", folder, cache=cache).outcome == "mismatch"


def test_the_same_text_under_other_rules_is_another_question(toy_db: Path) -> None:
    """One cache serves all rules and flags without mixing them."""
    cache = GoldCache()
    gold, predicted = "SELECT DISTINCT age FROM singer", "SELECT age FROM singer"
    assert judge(predicted, gold, toy_db, cache=cache).matched
    assert not judge(predicted, gold, toy_db, cache=cache, keep_distinct=True).matched
    assert not judge(predicted, gold, toy_db, cache=cache, rules=Rules.STRICT).matched
    assert judge(predicted, gold, toy_db, cache=cache, rules=Rules.BIRD).matched
