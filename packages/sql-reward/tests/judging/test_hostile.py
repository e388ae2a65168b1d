"""Hostile statements: each is back by its deadline and 50 ms, in little memory, and without a trace."""

import resource
import sys
import tomllib
from pathlib import Path
from time import thread_time

import pytest

from sql_reward import Limits, SqlFailure, judge, run_sql

TABLE = tomllib.loads((Path(__file__).parent / "hostile.toml").read_text())
DEADLINE_S = 0.25
GRACE_S = 20.0
"""Seconds beyond the deadline after which a test fails: far above the promise, far below what an attack takes."""
TEXTS = {
    **TABLE["texts"],
    "joined": ", ".join(f"n c{number}" for number in range(64)),
    "many": ", ".join(["length(hex(zeroblob(400000)))"] * 1500),
    "doubling": ", ".join(
        ["t0 AS (SELECT 1 x)"]
        + [f"t{i} AS (SELECT x FROM t{i - 1} UNION ALL SELECT x FROM t{i - 1})" for i in range(1, 40)]
    ),
    "doubling_quoted": ", ".join(
        ['"t 0" (x) AS MATERIALIZED (SELECT 1)']
        + [
            f'"t {i}" (x) AS NOT MATERIALIZED (SELECT a.x + b.x FROM `t {i - 1}` a, [t {i - 1}] b)'
            for i in range(1, 40)
        ]
    ),
    "names": "+".join(["i"] * 900) + "".join([", i"] * 1900),
    "nested": "(" * 5_000 + "1" + ")" * 5_000,
    "plus": "+1" * 49_000,
    "comma": ",1" * 10_000,
    "compound": " UNION ALL SELECT 1" * 499,
}


@pytest.mark.parametrize("case", TABLE["case"], ids=[case["name"] for case in TABLE["case"]])
def test_hostile(case: dict[str, str], numbers_db: Path) -> None:
    """A hostile statement takes its deadline and little more, and is what its author expects."""
    sql = case["sql"].format(**TEXTS)
    started = thread_time()
    found = run_sql(numbers_db, sql, limits=Limits(deadline_s=DEADLINE_S))
    assert thread_time() - started <= DEADLINE_S + GRACE_S
    if "outcome" in case:
        assert isinstance(found, SqlFailure)
        assert found.outcome == case["outcome"], found


@pytest.mark.parametrize("deadline_s", [0.02, 0.07, 0.15, 0.4])
@pytest.mark.parametrize("order", ["i", "i * 7919 % 1000003", "hex(i)", "i % 3"])
def test_sorting_ends_in_time(order: str, deadline_s: float, numbers_db: Path) -> None:
    """Wherever the deadline falls, in filling a sorter or in sorting it, no sort runs on."""
    for rows in (20_000, 60_000, 150_000, 400_000):
        series = f"WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r LIMIT {rows})"
        sql = f"{series} SELECT i FROM r ORDER BY {order}"
        started = thread_time()
        run_sql(numbers_db, sql, limits=Limits(deadline_s=deadline_s))
        assert thread_time() - started <= deadline_s + GRACE_S


def test_comparing_ends_in_time(numbers_db: Path) -> None:
    """Columns that all look alike, in results that differ in one cell, cannot hold up the comparison."""
    columns = [f"(i * {7 + 2 * k} + i * i * {k} + (i > {50 + k})) % 2 AS c{k}" for k in range(24)]
    gold = f"SELECT {', '.join(columns)} FROM n WHERE i <= 64"
    swapped = f"SELECT {', '.join(reversed(columns))} FROM n WHERE i BETWEEN 2 AND 65"
    started = thread_time()
    judge(swapped, gold, numbers_db, limits=Limits(deadline_s=DEADLINE_S))
    assert thread_time() - started <= DEADLINE_S + GRACE_S


def test_the_deadline_spans_the_suite(numbers_db: Path) -> None:
    """A prediction has its deadline once, not once for each database."""
    started = thread_time()
    verdict = judge(
        "SELECT count(*) FROM n a, n b, n c", "SELECT 1", [numbers_db] * 20, limits=Limits(deadline_s=DEADLINE_S)
    )
    assert verdict.outcome == "timeout"
    assert thread_time() - started <= DEADLINE_S + 2 * GRACE_S


def test_memory_stays_small() -> None:
    """After all of the above this process has not held 500 MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    assert peak < 500e6
