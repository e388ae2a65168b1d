"""The official evaluator's recorded verdicts, and the adversarial cases, on the Spider data."""

import csv
import hashlib
import json
from pathlib import Path
from time import thread_time
from typing import Any

import pytest

from sql_reward import GoldSqlError, Limits, SqlRewardError, judge
from sql_reward.scoring import Pair, ScoreOptions, score_pairs

pytestmark = pytest.mark.data

FLAGS = {
    "official_exec": ("spider/database", False),
    "official_exec_keep_distinct": ("spider/database", True),
    "official_exec_minisuite": ("spider/database_minisuite", False),
}


def disagreements(root: Path, rows: list[dict[str, Any]], field: str, *, deadline_s: float) -> tuple[int, list[str]]:
    """How many pairs were compared with that field, and which differ: by two processes."""
    folder, keep_distinct = FLAGS[field]
    rows = [row for row in rows if row.get(f"{field}_status") == "ok"]
    options = ScoreOptions(db_root=root / folder, keep_distinct=keep_distinct, limits=Limits(deadline_s=deadline_s))
    pairs = [Pair(id=row["id"], db_id=row["db_id"], gold=row["gold"], predicted=row["pred"]) for row in rows]
    results = list(score_pairs(pairs, options, jobs=2))
    assert len(results) == len(rows)
    wrong = [
        f"{row['id']}: {result.verdict or result.error}"
        for row, result in zip(rows, results, strict=True)
        if result.verdict is None or result.verdict.matched != bool(row[field])
    ]
    return len(rows), wrong


def corpus(root: Path) -> list[dict[str, Any]]:
    """The rows of the parity corpus."""
    return [json.loads(line) for line in (root / "parity_public.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("field", FLAGS)
def test_parity_of_a_sample(field: str, spider_data: Path) -> None:
    """A sixth of the pairs that the official evaluator took less than half a second for: every verdict agrees."""
    rows = [row for row in corpus(spider_data)[1::6] if (row["official_seconds"] or 1) < 0.5]
    compared, wrong = disagreements(spider_data, rows, field, deadline_s=10)
    assert compared > 900
    assert wrong == []


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("field", FLAGS)
def test_parity(field: str, spider_data: Path) -> None:
    """Every pair of the corpus: every verdict agrees, with a deadline of 30 s."""
    _, wrong = disagreements(spider_data, corpus(spider_data), field, deadline_s=30)
    assert wrong == []


def adversarial(root: Path) -> list[dict[str, str]]:
    """The adversarial cases that have a query and a database."""
    with (root / "adversarial.tsv").open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [row for row in rows if row["db"] in ("concert_singer", "world_1", "pets_1", "typ", "wide")]


OUTCOMES = {
    "timeout": "A01",
    "mismatch": "A03 C05 D01 D03 D05 D06 E14 E15 E18",
    "too_large": "A04",
    "match": "A07 A08 A09 A10 A13 C01 C02 C03 C04 C08 C09 C11 C13 D07 D09 E07 E09 E13 E17 E19 E20 F01 F03",
    "forbidden": "B01 B02 B03 B05 B07 C12",
    "no_sql": "E01 E02 E03 E04 E05",
    "sql_error": "E08",
    "gold_error": "E11",
}
"""The cases by their outcome, as docs/reward.md explains it."""
EXPECTED = {case: outcome for outcome, cases in OUTCOMES.items() for case in cases.split()}
SHORTENED = {"A06"}
"""Cases whose text is cut off in the table."""


def test_adversarial(spider_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each case has its documented outcome near its deadline, and nothing anywhere has changed."""
    monkeypatch.chdir(tmp_path)
    roots = [spider_data / "adversarial_dbs", spider_data / "spider" / "database"]
    before = {root: _state(root) for root in roots}
    deadline_s = 1.0
    found: dict[str, str] = {}
    for row in adversarial(spider_data):
        if row["case"] in SHORTENED:
            continue
        root = roots[0] if row["db"] in ("typ", "wide") else roots[1]
        predicted = row["pred"].replace("\\n", "\n").replace("\\t", "\t")
        started = thread_time()
        try:
            outcome = judge(
                predicted,
                row["gold"],
                root / row["db"],
                keep_distinct=row["distinct_flag"] == "keep",
                limits=Limits(deadline_s=deadline_s),
            ).outcome.value
        except GoldSqlError:
            outcome = "gold_error"
        assert thread_time() - started <= deadline_s + 20, row["case"]  # far above the promise: timings differ
        found[row["case"]] = outcome
    assert found == EXPECTED
    assert {root: _state(root) for root in roots} == before
    assert list(tmp_path.iterdir()) == []


def test_a_long_flat_condition(spider_data: Path) -> None:
    """Case A06, written out: 3,000 conditions are beyond SQLite's depth, so SQLite's error it is."""
    sql = "SELECT name FROM singer WHERE 1=1" + " AND 1=1" * 3_000
    folder = spider_data / "spider" / "database" / "concert_singer"
    assert judge(sql, "SELECT name FROM singer", folder).outcome == "sql_error"


def _state(root: Path) -> dict[str, str]:
    return {
        str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(root.rglob("*")) if file.is_file()
    }


def test_no_folder_is_an_error(spider_data: Path) -> None:
    """Case F04: where there is no database, nothing matches."""
    with pytest.raises(SqlRewardError):
        judge("garbage", "SELECT 1", spider_data / "spider" / "database" / "no_such_database")
