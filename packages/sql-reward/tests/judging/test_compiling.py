"""Statements that SQLite writes out before it runs them: the deadline and a memory limit hold there too."""

import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sql_reward import Limits, Outcome, Rows, SqlFailure, judge, run_sql
from sql_reward.sandbox import trial
from sql_reward.sandbox.growth import Stored, may_explode

LIMITS = Limits(deadline_s=1.0)
SCHEMA = "\n".join(
    [
        "CREATE TABLE t (i INTEGER); INSERT INTO t VALUES (1), (2), (3);",
        f"CREATE TABLE g (a, c0 AS (a), {', '.join(f'c{k} AS (c{k - 1} + c{k - 1})' for k in range(1, 24))});",
        "CREATE VIEW v0 AS SELECT i AS x FROM t;",
        *[f"CREATE VIEW v{k} AS SELECT x + x AS x FROM v{k - 1};" for k in range(1, 25)],
        'CREATE VIEW "a""b" AS SELECT x, x + x AS y FROM v22;',
    ]
)


def chain(column: str, length: int, last: str) -> str:
    """Common table expressions, each of which computes x from the one before, and a query of the last, called {}."""
    parts = [f"a{k} AS (SELECT {column} AS x FROM a{k - 1})" for k in range(1, length + 1)]
    return ", ".join(["WITH a0 AS (SELECT i AS x FROM t)", *parts]) + " " + last.format(f"a{length}")


def nested(column: str, depth: int, name: str = "x") -> str:
    """Subqueries in one another, each of which computes a column from the one within."""
    query = f"SELECT i AS {name} FROM t"
    for _ in range(depth):
        query = f"SELECT {column} AS {name} FROM ({query})"
    return query


def many(expression: str, count: int) -> str:
    """That many columns, {} being their number."""
    return ", ".join(expression.format(k) for k in range(count))


EXPLOSIVE = {
    "sums over a chain": chain("x + x", 9, f"SELECT {many('sum(x + {})', 1000)} FROM {{}}"),
    "a long chain": chain("x + x", 25, "SELECT count(x) FROM {}"),
    "a chain of CASE": chain("CASE WHEN x > 1 THEN x ELSE x + 1 END", 14, "SELECT max(x) FROM {}"),
    "a chain of functions": chain("coalesce(abs(x), round(x), x)", 13, "SELECT max(x) FROM {}"),
    "a chain of lists": chain("x IN (x, x + 1, 1)", 14, "SELECT * FROM {}"),
    "a chain of BETWEEN": chain("x BETWEEN x AND x", 14, "SELECT count(x) FROM {}"),
    "a chain of texts": chain("x || x", 22, "SELECT count(x) FROM {}"),
    "a chain beside a table function": chain("x + x", 22, "SELECT x, value FROM {}, json_each('[1]')"),
    "subqueries": nested("+".join("xxxxxxxx"), 7),
    "names that are no words": nested("+".join(['"+"'] * 8), 7, '"+"'),
    "names beyond letters": nested("+".join(["😀"] * 8), 7, "😀"),
    "stars": f"SELECT {', '.join('*' * 1000)} FROM ({nested('+'.join(['x'] * 60), 3)})",
    "aliases": f"SELECT x AS y FROM ({nested('+'.join(['x'] * 60), 2)}) WHERE {'+'.join('y' * 300)} > 0",
    "windows": chain("x + x", 10, f"SELECT {many('sum(x + {}) OVER (ORDER BY x)', 300)} FROM {{}}"),
    "groups": chain("x + x", 10, f"SELECT count(*) FROM {{}} GROUP BY {many('x + {}', 600)}"),
    "arms": f"SELECT {many('x + {}', 900)} FROM ({' UNION ALL '.join(['SELECT i AS x FROM t'] * 450)})",
    "a view": "SELECT x FROM v24",
    "sums over a view": f"SELECT {many('sum(x + {})', 1000)} FROM V9",
    "a view with a quote in its name": 'SELECT y FROM "a""b"',
    "generated columns": "SELECT c23 FROM g",
}
HARMLESS = {
    "a chain used once": chain("x + 1", 12, "SELECT sum(x) FROM {}"),
    "many subqueries": " UNION ALL ".join(["SELECT max(i) FROM (SELECT i FROM t WHERE i IN (SELECT i FROM t))"] * 40),
    "a long list": f"SELECT count(*) FROM t WHERE i IN ({', '.join(map(str, range(15000)))})",
    "a wide pivot": f"SELECT {many('sum(CASE WHEN i = {} THEN 1 ELSE 0 END)', 400)} FROM t",
    "a shallow view": "SELECT sum(x) FROM v3",
    "an early generated column": "SELECT sum(c2) FROM g",
}


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory, database_of: Callable[[Path, str], Path]) -> Path:
    """Views and generated columns that double, and a table of three rows."""
    return database_of(tmp_path_factory.mktemp("chains") / "chains.sqlite", SCHEMA)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", EXPLOSIVE)
def test_compiling_ends(name: str, db: Path) -> None:
    """A statement that grows while it is compiled is stopped by the deadline or the limit on memory."""
    found = run_sql(db, EXPLOSIVE[name], limits=LIMITS)
    assert isinstance(found, SqlFailure)
    assert found.outcome in (Outcome.TIMEOUT, Outcome.TOO_LARGE), found
    assert judge(EXPLOSIVE[name], "SELECT 1", db, limits=LIMITS).outcome in (Outcome.TIMEOUT, Outcome.TOO_LARGE)


@pytest.mark.parametrize("name", HARMLESS)
def test_long_statements_run(name: str, db: Path) -> None:
    """Length alone, depth alone and repetition alone are no reason to refuse."""
    assert isinstance(run_sql(db, HARMLESS[name], limits=LIMITS), Rows)


def test_ordinary_statements_are_not_tried(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A query as people write them starts no process."""
    monkeypatch.setattr(trial, "_Worker", None)
    sql = "SELECT a.i, count(*) FROM t a JOIN t b ON a.i = b.i WHERE a.i > (SELECT avg(i) FROM t) GROUP BY 1 ORDER BY 2"
    assert isinstance(run_sql(db, sql), Rows)
    assert may_explode(EXPLOSIVE["a long chain"], Stored())
    assert not may_explode(sql, Stored())


def test_a_worker_that_was_ended_is_replaced(db: Path) -> None:
    """A process that others end meanwhile costs no verdict."""
    sql = HARMLESS["a long list"]
    for number in range(3):
        assert isinstance(run_sql(db, f"{sql} + {number}"), Rows)
        for worker in trial._pool.idle:
            worker.process.send_signal(signal.SIGKILL)
            worker.process.wait()


def test_threads_try_side_by_side(db: Path) -> None:
    """Many threads with suspicious statements each get the answer to their own."""
    found: list[Any] = []

    def work(number: int) -> None:
        rows = run_sql(db, f"{HARMLESS['a long list']} + {number}")
        found.append(isinstance(rows, Rows) and len(rows.rows) == 1)
        refused = run_sql(db, f"{EXPLOSIVE['a view']} WHERE x > {number}", limits=LIMITS)
        found.append(isinstance(refused, SqlFailure))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 8
