"""DuckDB's process: what it answers, what it may do, and that no query leaves anything for the next."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sql_graph import DatabaseLimits, SqlDatabase
from sql_graph.errors import DatabaseUnavailableError
from sql_graph.ports import ObservationStatus

LIMITS = DatabaseLimits(deadline_s=20.0)
RUBBISH = Path(__file__).parent.parent / "programs" / "rubbish_worker.py"


@pytest.mark.parametrize(
    "answer", ["Segmentation fault", "[]", "{}", '{"status": "odd", "message": "x"}', '{"rows": 5}', "[" * 5000, ""]
)
def test_an_answer_that_cannot_be_read_raises(shop_duckdb: Path, monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    """What is no answer is a failure of ours, ends the process, and the next query has a new one."""
    monkeypatch.setenv("RUBBISH", answer)
    with SqlDatabase(shop_duckdb, limits=LIMITS) as database:
        with monkeypatch.context() as changed:
            changed.setattr("sql_graph.databases.duckdb.WORKER", (sys.executable, str(RUBBISH)))
            with pytest.raises(DatabaseUnavailableError, match=r"shop\.duckdb"):
                database.run("SELECT 1")
        assert database.run("SELECT 1 AS one").text == "one\n1\n1 row"


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM duckdb_tables()",
        "SELECT * FROM duckdb_settings() WHERE name = 'threads'",
        "SELECT * FROM pragma_table_info('people')",
        "FROM range(3), generate_series(1, 2), unnest([1, 2])",
        "SELECT * FROM json_each('[1]')",
        "SELECT 'enable_logging()' AS enable_logging, '\"function_name\":\"enable_logging\"' AS b",
        "SELECT enable_logging FROM (SELECT 1 AS enable_logging)",
        "FROM people",
        "SELECT list_transform([1, 2], x -> x + 1), regexp_replace('a''b', 'a', 'c')",
    ],
)
def test_what_only_reads_runs(shop_duckdb: Path, query: str) -> None:
    """Catalog functions and functions that make tables of their arguments are no danger."""
    with SqlDatabase(shop_duckdb, limits=LIMITS) as database:
        observation = database.run(query)
        assert observation.status is ObservationStatus.ROWS, observation.text


def test_nothing_of_a_query_outlives_it(shop_duckdb: Path) -> None:
    """Settings, logs, variables, prepared statements and temporary tables are the same after hostile queries."""
    state = (
        "SELECT name, value FROM duckdb_settings() ORDER BY name",
        "SELECT count(*) FROM duckdb_tables() WHERE temporary",
        "SELECT count(*) FROM duckdb_variables()",
        "SELECT extension_name FROM duckdb_extensions() WHERE loaded ORDER BY 1",
        "SELECT getvariable('x')",
    )
    attempts = (
        "SELECT * FROM enable_logging(storage='stdout')",
        "SET VARIABLE x = 1",
        "CREATE TEMP TABLE mine (a int)",
        "SELECT setseed(0.1)",
        "PREPARE q AS SELECT 1",
        "SET threads = 1",
        "SELECT nosuch",
    )
    with SqlDatabase(shop_duckdb, limits=LIMITS) as database:
        before = [database.run(query).text for query in state]
        for attempt in attempts:
            assert not database.run(attempt).ran
        assert [database.run(query).text for query in state] == before


def test_a_process_that_was_ended_while_idle_is_replaced(shop_duckdb: Path) -> None:
    """Somebody ends the idle process: the next query is not blamed for it."""
    with SqlDatabase(shop_duckdb, limits=LIMITS) as database:
        assert database.run("SELECT 1").ran
        for pid in _children():
            os.kill(pid, signal.SIGKILL)
        assert database.run("SELECT 1").ran


def _children() -> list[int]:
    listed = subprocess.run(
        ["pgrep", "-P", str(os.getpid()), "-f", "duckdb_worker"], capture_output=True, text=True, check=False
    )
    return [int(pid) for pid in listed.stdout.split()]
