"""Suites of databases at the edges: extreme values, JSON documents, tables of every kind."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spider_data.suite import SuiteReport, make_suite
from spider_data.suite.values import column_facts, fresh_value, make_pool, neighbours, unused_value

HERE = Path(__file__).parent
GOLDS = (HERE / "extremes_golds.sql").read_text("utf-8").splitlines()
DAYS = ("9999-12-31", "0001-01-01", "0000-00-00", "9999-12-31 23:59:59", "2024-02-29")
WHOLE = (2**63 - 1, -(2**63), 0, 2**63 - 2)
REAL = (1.7e308, -1.7e308, float("inf"), float("-inf"), 1e-320)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> SuiteReport:
    """The suite of a database with all of it, made once."""
    path = tmp_path_factory.mktemp("extremes") / "extremes.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((HERE / "extremes.sql").read_text("utf-8"))
        for i in range(1, 15):
            digits = "9" * 5000 + str(i) if i % 2 else f"1234567890123456789012{i}"
            edge = (i, DAYS[i % 5], WHOLE[i % 4], REAL[i % 5], f"hello\0{i}", digits, bytes([0, 255, i]))
            connection.execute("INSERT INTO edge VALUES (?, ?, ?, ?, ?, ?, ?)", edge)
            body = json.dumps({"n": i, "name": f"name {i}", "tags": ["a", f"t{i}"]})
            connection.execute("INSERT INTO doc VALUES (?, ?, ?)", (i, body, json.dumps([{"kind": {"z": i}}])))
            connection.execute("INSERT INTO span VALUES (?, ?, ?)", (f"k{i}", i * 1000, i * 1000 + 1))
            connection.execute("INSERT INTO tight VALUES (?, ?, ?, ?, ?)", (i, f"t{i}", i / 2, b"x", i))
            connection.execute("INSERT INTO page VALUES (?, ?)", (f"hello title {i}", f"body {i}"))
            connection.execute("INSERT INTO slip VALUES (?)", (f"hello w{i}",))
            connection.execute("INSERT INTO box VALUES (?, ?, ?, ?, ?)", (i, i, i + 1, 2 * i, 2 * i + 1))
            connection.execute("INSERT INTO bare(rowid, text) VALUES (?, 'hello')", (i,))
        connection.execute("UPDATE edge SET text = CAST(x'E9FF' AS TEXT) WHERE id = 5")
        connection.execute("INSERT INTO found(found) VALUES ('rebuild')")
        connection.commit()
    return make_suite(path, GOLDS, variants=4, candidates=8, yardstick=2)


def opened(path: Path) -> closing[sqlite3.Connection]:
    connection = sqlite3.connect(path)
    connection.text_factory = lambda raw: raw.decode(errors="replace")
    return closing(connection)


def test_every_gold_runs_on_every_variant(report: SuiteReport) -> None:
    """None is left out, and the suite refutes wrong neighbours of the golds."""
    assert report.broken_golds == ()
    assert len(report.variants) == 4
    assert report.power.refuted > report.power.refuted_by_main > 0
    for file in report.variants:
        with opened(file) as variant:
            for gold in GOLDS:
                variant.execute(gold).fetchall()
            assert variant.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.parametrize(
    "table", ["edge", "doc", "span", "tight", "hollow", "page", "memo", "slip", "box", "found", "terms"]
)
def test_tables_of_every_kind_get_rows(report: SuiteReport, table: str) -> None:
    """On some variants, and not the same number on all; a table without rows in the source too."""
    counts: set[int] = set()
    for file in report.variants:
        with opened(file) as variant:
            counts.add(variant.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
    assert len(counts - {0}) > 1


def test_documents_vary_and_stay_documents(report: SuiteReport) -> None:
    """A body has the keys of the source, in combinations that the source has not."""
    bodies: set[str] = set()
    for file in report.variants:
        with opened(file) as variant:
            bodies |= {body for (body,) in variant.execute("SELECT body FROM doc")}
    assert all(set(json.loads(body)) == {"n", "name", "tags"} for body in bodies)
    assert any(json.loads(body)["name"] != f"name {json.loads(body)['n']}" for body in bodies)


VALUES = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.text("0123456789-", max_size=12),
    st.dates().map(str),
    st.binary(max_size=20),
    st.recursive(
        st.none() | st.integers() | st.text("ab"), lambda x: st.lists(x) | st.dictionaries(st.text("k"), x)
    ).map(json.dumps),
)


@given(values=st.lists(VALUES, min_size=1, max_size=6), constants=st.lists(VALUES, max_size=3), seed=st.integers())
def test_any_value_can_be_stored(values: list[str | int | float | bytes], constants: list[str], seed: int) -> None:
    """Whatever a column holds, all that is made from it is something that SQLite takes."""
    import random

    rng = random.Random(seed)
    facts = column_facts(
        values=[*values], constants=[*constants], patterns=[], is_unique=True, not_null=False, declared=""
    )
    made = [*make_pool(facts, rng, size=4, fresh=3), *(fresh_value(facts, rng) for _ in range(3))]
    made += [near for value in [*values, *constants] for near in neighbours(value)]
    made.append(unused_value(facts, rng, set(values)))
    assert made[-1] not in values
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE t (x)")
        connection.executemany("INSERT INTO t VALUES (?)", [(value,) for value in made])
