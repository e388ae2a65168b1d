"""Many pairs at once: each by itself, in order, the same with any number of workers."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sql_reward import Limits, Outcome
from sql_reward.exact import Component
from sql_reward.scoring import BadRow, Pair, PairResult, ScoreOptions, ScoreReport, score_pairs
from sql_reward.scoring.report import Scores
from sql_reward.scoring.score import score_pair

ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"


def pair(number: int, predicted: str | None, gold: str = "SELECT name FROM singer", db_id: str = "singers") -> Pair:
    return Pair(id=number, db_id=db_id, gold=gold, predicted=predicted)


def score(rows: list[Pair | BadRow], options: ScoreOptions, jobs: int = 2) -> list[PairResult]:
    return list(score_pairs(rows, options, jobs=jobs))


def test_results_come_in_order_and_bad_rows_stop_nothing(db_root: Path) -> None:
    """Every row has its result at its place: right, wrong, slow, broken, without database, without working gold."""
    rows = [
        BadRow(id=None, error="line 1 is not JSON"),
        pair(1, "SELECT name FROM singer"),
        pair(2, ENDLESS),
        pair(3, "SELECT age FROM singer"),
        pair(4, "SELECT name FROM singer", db_id="nowhere"),
        pair(5, "SELECT kind FROM tree", gold="SELECT kind FROM tree", db_id="trees"),
        pair(6, "SELECT name FROM singer", gold="SELECT nothing FROM singer"),
        pair(7, None),
        pair(8, "SELECT nonsense FROM singer"),
        pair(9, "DROP TABLE singer"),
        BadRow(id="last", error="line 11 lacks gold"),
    ]
    results = score(rows, ScoreOptions(db_root=db_root, limits=Limits(deadline_s=0.3)))
    assert [result.id for result in results] == [None, *range(1, 10), "last"]
    assert [result.verdict.outcome if result.verdict else None for result in results] == [
        None,
        Outcome.MATCH,
        Outcome.TIMEOUT,
        Outcome.MISMATCH,
        None,
        Outcome.MATCH,
        None,
        Outcome.NO_SQL,
        Outcome.SQL_ERROR,
        Outcome.FORBIDDEN,
        None,
    ]
    errors = {result.id: result.error for result in results if result.error}
    assert set(errors) == {None, 4, 6, "last"}
    assert "DatabaseNotFoundError" in errors[4]
    assert "'nowhere'" in errors[4]
    assert "GoldSqlError" in errors[6]


@pytest.mark.parametrize(
    "db_id", ["", ".", "..", "../databases", "singers/../singers", "/etc", "singers\0", "x" * 5_000]
)
def test_a_db_id_reaches_nothing_but_a_folder_of_the_root(db_root: Path, db_id: str) -> None:
    """A db_id is a name, not a path."""
    result = score_pair(ScoreOptions(db_root=db_root), pair(1, "SELECT 1", gold="SELECT 1", db_id=db_id))
    assert result.verdict is None
    assert "DatabaseNotFoundError" in result.error


def test_a_suite_is_judged_on_all_its_databases(db_root: Path) -> None:
    """A folder with several files is a test suite: a prediction has to match on each."""
    gold, predicted = "SELECT count(*) FROM tree WHERE height > 5", "SELECT count(*) FROM tree"
    verdict = score_pair(ScoreOptions(db_root=db_root), pair(1, predicted, gold, "trees")).verdict
    assert verdict is not None
    assert (verdict.outcome, verdict.databases_passed, verdict.databases_total) == (Outcome.MISMATCH, 1, 2)


def test_exact_match_needs_no_database(db_root: Path, tmp_path: Path) -> None:
    """With a tables.json, exact match and hardness are told for databases that are not there."""
    entry = {
        "db_id": "far_away",
        "table_names_original": ["singer"],
        "column_names_original": [[-1, "*"], [0, "name"]],
        "foreign_keys": [],
    }
    (tmp_path / "tables.json").write_text(json.dumps([entry]))
    options = ScoreOptions(db_root=db_root, execution=False, exact=True, tables=tmp_path / "tables.json")
    result = score_pair(options, pair(1, "SELECT name FROM singer", db_id="far_away"))
    assert result.exact is not None
    assert (result.exact.matched, result.hardness, result.error) == (True, "easy", "")


def test_stopping_yields_what_is_known(db_root: Path) -> None:
    """Once stopped, finished results come out in order, gaps left out."""
    rows: list[Pair | BadRow] = [
        pair(0, ENDLESS),
        *(pair(number, "SELECT name FROM singer") for number in range(1, 30)),
    ]
    finished: list[None] = []
    results = list(
        score_pairs(
            rows,
            ScoreOptions(db_root=db_root, limits=Limits(deadline_s=60)),
            jobs=2,
            stop=lambda: len(finished) >= 20,
            done=lambda: finished.append(None),
        )
    )
    ids = [result.id for result in results]
    assert 0 not in ids
    assert len(ids) >= 20
    assert ids == sorted(ids, key=lambda number: int(str(number)))


def test_the_report_adds_up(db_root: Path) -> None:
    """Shares are of what could be judged; the rest is counted beside them."""
    rows = [
        pair(1, "SELECT name FROM singer"),
        pair(2, "SELECT age FROM singer"),
        pair(3, "SELECT name, age FROM singer", gold="SELECT age, name FROM singer"),
        pair(4, "SELECT upper(name) FROM singer", gold="SELECT upper(name) FROM singer"),
        pair(5, "SELECT name FROM singer", gold="SELECT nothing FROM singer"),
    ]
    results = score(list(rows), ScoreOptions(db_root=db_root, exact=True))
    report = ScoreReport.of(results, execution=True, exact=True)
    assert report.counts == {"easy": 2, "medium": 1, "unknown": 2, "all": 5}
    assert (report.execution["all"].matched, report.execution["all"].count) == (3, 4)
    assert (report.exact["all"].matched, report.exact["all"].count) == (2, 3)
    assert (report.not_judged, report.unread_golds) == (1, 1)
    assert report.components["select"]["easy"] == Scores(accuracy=0.5, recall=0.5)
    assert report.outcomes == {"match": 3, "mismatch": 1}
    plain = json.loads(json.dumps(report.to_json()))
    assert plain["execution"]["all"]["accuracy"] == plain["execution_accuracy"] == 0.75
    assert plain["execution"]["all"]["low"] < 0.75 < plain["execution"]["all"]["high"]
    assert "not judged, and in no share above: 1" in report.table()


def test_component_scores_count_like_the_official_report() -> None:
    """Accuracy is over predictions that have the clause, recall over golds; F1 is 0 where nothing was right."""
    right = Component(predicted=1, gold=1, matched=1)
    invented = Component(predicted=1, gold=0, matched=0)
    missing = Component(predicted=0, gold=2, matched=0)
    absent = Component(predicted=0, gold=0, matched=0)
    assert Scores.of([right, invented, missing, missing, absent]) == Scores(accuracy=1 / 2, recall=1 / 3)
    assert Scores.of([right, invented, missing, missing, absent]).f1 == pytest.approx(0.4)
    assert Scores.of([invented, missing]).f1 == 0
    assert Scores.of([absent]).f1 is None


@contextmanager
def load(python: str, processes: int) -> Iterator[None]:
    """Other processes that want the processors."""
    busy = [
        subprocess.Popen([python, str(Path(__file__).parents[1] / "programs" / "busy.py")]) for _ in range(processes)
    ]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def outcomes(results: list[PairResult]) -> list[tuple[object, object, str]]:
    return [(result.id, result.verdict and result.verdict.outcome, result.error) for result in results]


@pytest.mark.data
def test_any_number_of_workers_gives_the_same_verdicts(spider_data: Path, python: str) -> None:
    """400 recorded pairs have the same outcomes with 1, 2 and 8 workers, and with 8 on a busy machine."""
    rows: list[Pair | BadRow] = []
    for line in (spider_data / "parity_public.jsonl").read_text().splitlines()[::23][:400]:
        row = json.loads(line)
        if not row["surrogate_db"] and row["official_exec_status"] == "ok":
            rows.append(Pair(id=row["id"], db_id=row["db_id"], gold=row["gold"], predicted=row["pred"]))
    assert len(rows) > 300
    options = ScoreOptions(db_root=spider_data / "spider" / "database", limits=Limits(deadline_s=10))
    alone = outcomes(score(rows, options, jobs=1))
    assert outcomes(score(rows, options, jobs=2)) == alone
    assert outcomes(score(rows, options, jobs=8)) == alone
    with load(python, (os.cpu_count() or 1) + 1):
        assert outcomes(score(rows, options, jobs=8)) == alone
