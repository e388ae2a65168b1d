"""An answer is data: its rows, whole and typed, as a table of other libraries or as a file; and what it cost."""

from __future__ import annotations

import csv
import json
import sqlite3
import stat
import sys
from collections.abc import Callable
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from langchain_core.messages import AIMessage

from sql_graph import CheckMode, DatabaseLimits, ScriptedChat, SqlAnswer, SqlDatabase, answer
from sql_graph.agent.observe import observe
from sql_graph.cli import main
from sql_graph.databases import Fetched
from sql_graph.errors import MissingExtraError

ALL = "SELECT name, age, photo, mixed FROM singer ORDER BY rowid"
LONG = "x" * 500


@pytest.fixture
def singers(tmp_path: Path) -> Path:
    """A SQLite file: a long text, NULLs, a blob, a number beyond 2⁵³, and a column of mixed types."""
    file = tmp_path / "singers.sqlite"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE singer (name text, age int, photo blob, mixed)")
        rows = [(LONG, 30, b"\x00\xff", 1), ('Zoë, "Z"', None, None, "one"), ("", 2**60 + 1, None, None)]
        connection.executemany("INSERT INTO singer VALUES (?, ?, ?, ?)", rows)
        connection.executemany("INSERT INTO singer VALUES ('n', ?, NULL, NULL)", [(i,) for i in range(97)])
    return file


def asked(file: Path, sql: str = ALL, **limits: Any) -> SqlAnswer:
    """The answer of a model that writes `sql`."""
    with SqlDatabase(file, limits=DatabaseLimits(**limits)) as database:
        return answer("Who?", database=database, chat=ScriptedChat([sql]), check=CheckMode.RULES, max_turns=1)


def test_rows_are_whole(singers: Path) -> None:
    """The rows hold every value as it is, although the model is shown the first twenty, cut."""
    found = asked(singers)
    assert found.columns == ("name", "age", "photo", "mixed")
    assert len(found.rows) == 100
    assert found.rows[0] == (LONG, 30, b"\x00\xff", 1)
    assert found.rows[2] == ("", 2**60 + 1, None, None)
    assert not found.more_rows
    assert found.observation is not None
    assert LONG not in found.observation.text


def test_rows_up_to_the_cap(singers: Path) -> None:
    """`max_rows` bounds the rows, and the answer says that there are more."""
    found = asked(singers, max_rows=7)
    assert (len(found.rows), found.more_rows) == (7, True)


def test_rows_are_those_of_the_answer(singers: Path) -> None:
    """After a rewrite the rows are those of the query that is the answer; the state of the graph holds none."""
    chat = ScriptedChat(["SELECT name FROM singer WHERE age > 2000 AND age < 0", "SELECT count(*) AS n FROM singer"])
    with SqlDatabase(singers) as database:
        found = answer("How many singers are there?", database=database, chat=chat, check=CheckMode.RULES)
    assert (found.columns, found.rows) == (("n",), ((100,),))
    assert all(attempt.observation is None or not attempt.observation.rows for attempt in found.attempts)


def test_no_query_no_rows(singers: Path) -> None:
    """An answer without a query that ran has neither rows nor columns."""
    for sql in ("SELECT nme FROM singer", "I cannot say."):
        found = asked(singers, sql)
        assert (found.rows, found.columns, found.more_rows) == ((), (), False)
        assert found.to_pandas().empty


def test_to_pandas(singers: Path) -> None:
    """Whole numbers stay whole beside NULL, even beyond the floats."""
    frame = asked(singers).to_pandas()
    assert list(frame.columns) == ["name", "age", "photo", "mixed"]
    assert frame["age"][2] == 2**60 + 1
    assert str(frame["age"].dtype) == "Int64"
    assert bool(frame["age"].isna()[1])


def test_to_arrow(singers: Path) -> None:
    """Types are kept; a column of mixed types becomes text."""
    table = asked(singers).to_arrow()
    assert [str(kind) for kind in table.schema.types] == ["string", "int64", "binary", "string"]
    assert table.column("mixed").to_pylist()[:3] == ["1", "one", None]
    assert table.num_rows == 100


def test_columns_of_one_name(singers: Path) -> None:
    """Two columns may have one name, in every form."""
    found = asked(singers, "SELECT age, age FROM singer LIMIT 1")
    assert found.rows == ((30, 30),)
    assert found.to_arrow().num_columns == found.to_pandas().shape[1] == 2


@pytest.mark.parametrize(("module", "convert"), [("pandas", SqlAnswer.to_pandas), ("pyarrow", SqlAnswer.to_arrow)])
def test_the_extra_is_named(
    singers: Path, monkeypatch: pytest.MonkeyPatch, module: str, convert: Callable[[SqlAnswer], Any]
) -> None:
    """Without the library, the error names the extra that installs it."""
    found = asked(singers)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"needs .*pip install 'sql-graph\[frames\]'") as caught:
        convert(found)
    assert (caught.value.module, caught.value.extra) == (module, "frames")


def test_numbers_of_a_server_that_writes_text() -> None:
    """A column whose values a server writes as text is shown as written and given as numbers."""
    fetched = Fetched(columns=("n", "price"), rows=[("7", "1.50"), (None, None)], more=False, readers=(int, Decimal))
    seen = observe(fetched, limits=DatabaseLimits(), seconds=0.0)
    assert seen.rows == ((7, Decimal("1.50")), (None, None))
    assert "7 | 1.50" in seen.text


def message(text: str, read: int, written: int, **more: Any) -> AIMessage:
    """A reply as a chat model gives it, with its counts."""
    usage = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written, **more}
    return AIMessage(text, response_metadata={"token_usage": usage})


def test_tokens_of_each_call(singers: Path) -> None:
    """Each call has the counts of its endpoint; the answer adds them up."""
    replies = [
        message("SELECT nme FROM singer", 100, 5),
        message("VERDICT: INCORRECT", 120, 6),
        message("SELECT name FROM singer", 140, 7, completion_tokens_details={"reasoning_tokens": 3}),
        message("VERDICT: CORRECT", 120, 4),
    ]
    with SqlDatabase(singers) as database:
        found = answer("Who?", database=database, chat=ScriptedChat(replies), check=CheckMode.LLM)
    assert [call.node for call in found.calls] == ["write_query", "check_query", "rewrite_query", "check_query"]
    assert [call.completion_tokens for call in found.calls] == [5, 6, 7, 4]
    assert [call.reasoning_tokens for call in found.calls] == [None, None, 3, None]
    assert (found.prompt_tokens, found.completion_tokens) == (480, 22)


def test_tokens_that_nobody_counted(singers: Path) -> None:
    """What an endpoint does not count is None, not 0."""
    found = asked(singers)
    assert (found.prompt_tokens, found.completion_tokens) == (None, None)
    assert found.calls[0].prompt_tokens is None


@pytest.fixture
def ask(endpoint: Any, singers: Path, reply_with: Callable[..., Any]) -> Callable[..., Result]:
    """Run `sql-graph ask` against an endpoint that replies with `sql`."""

    def command(sql: str, *arguments: str, **environment: str) -> Result:
        reply_with(f"```sql\n{sql}\n```")
        options = ["--base-url", endpoint.url, "--check", "rules", "--max-turns", "1"]
        named = {"SQL_GRAPH_DB": str(singers), "SQL_GRAPH_MODEL": "m", **environment}
        return CliRunner().invoke(main, ["ask", "Who?", *options, *arguments], env=named)

    return command


def test_database_and_model_from_the_environment(ask: Callable[..., Result], endpoint: Any) -> None:
    """SQL_GRAPH_DB and SQL_GRAPH_MODEL stand for --db and --model, and the help names them."""
    result = ask(ALL, SQL_GRAPH_MODEL="from-the-environment")
    assert result.exit_code == 0, result.output
    assert endpoint.requests[0]["model"] == "from-the-environment"
    shown = CliRunner().invoke(main, ["ask", "--help"]).output
    assert "SQL_GRAPH_DB" in shown
    assert "SQL_GRAPH_MODEL" in shown


def test_csv_file(ask: Callable[..., Result], tmp_path: Path) -> None:
    """--csv writes the whole result in place of an older file, whose permissions stay."""
    target = tmp_path / "out.csv"
    target.write_text("old")
    target.chmod(0o640)
    result = ask(ALL, "--csv", str(target))
    assert result.exit_code == 0, result.output
    assert "approved" in result.output or "turns: 1" in result.output
    rows = list(csv.reader(StringIO(target.read_text(encoding="utf-8"))))
    assert rows[0] == ["name", "age", "photo", "mixed"]
    assert rows[1] == [LONG, "30", "00ff", "1"]
    assert rows[2] == ['Zoë, "Z"', "", "", "one"]
    assert len(rows) == 101
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert [path.name for path in tmp_path.iterdir() if "out.csv" in path.name] == ["out.csv"]


def test_csv_on_standard_output(ask: Callable[..., Result]) -> None:
    """--csv - prints the result alone; the turns go to standard error."""
    result = ask("SELECT name FROM singer WHERE mixed = 1", "--csv", "-")
    assert result.stdout == f"name\n{LONG}\n"
    assert "turns: 1" in result.stderr


def test_csv_of_a_query_that_fails(ask: Callable[..., Result], tmp_path: Path) -> None:
    """Without a query that ran, no file is written and an older one stays."""
    target = tmp_path / "out.csv"
    target.write_text("old")
    assert ask("SELECT nme FROM singer", "--csv", str(target)).exit_code == 5
    assert target.read_text() == "old"


def test_csv_that_cannot_be_written(ask: Callable[..., Result], tmp_path: Path) -> None:
    """A folder that is missing is a bad argument, said in one line."""
    result = ask(ALL, "--csv", str(tmp_path / "missing" / "out.csv"))
    assert result.exit_code == 2
    assert "No such file or directory" in result.stderr


def test_a_longer_result_is_said(ask: Callable[..., Result], tmp_path: Path) -> None:
    """Where --max-rows leaves rows out, the command says so."""
    result = ask(ALL, "--csv", str(tmp_path / "out.csv"), "--max-rows", "5")
    assert "the first 5 rows" in result.stderr
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 6


def test_json_holds_the_rows(ask: Callable[..., Result]) -> None:
    """--json holds the rows as JSON values: bytes as hexadecimal digits, large numbers as text."""
    found = json.loads(ask(ALL, "--json").stdout)
    assert found["columns"] == ["name", "age", "photo", "mixed"]
    assert found["rows"][0] == [LONG, 30, "00ff", 1]
    assert found["rows"][2] == ["", str(2**60 + 1), None, None]
    assert (found["prompt_tokens"], found["completion_tokens"], len(found["calls"])) == (10, 5, 1)


def test_verbose_shows_tokens(ask: Callable[..., Result]) -> None:
    """-v shows what each call cost."""
    assert "call 1 · write query · tokens: 10 read, 5 written" in ask(ALL, "-v").output
