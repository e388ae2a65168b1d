"""The commands, as a user types them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from spider_data.cli.main import main


def test_the_way_through(spider: Path, tmp_path: Path) -> None:
    """Convert, check, stats; each says what comes next or what it found."""
    data = str(tmp_path / "data")
    made = CliRunner().invoke(main, ["convert", str(spider), data, "--validation-share", "0.3", "--seed", "5"])
    assert made.exit_code == 0
    assert re.search(r"train_spider\.parquet +15 tasks", made.stdout)
    assert f"next: spider-data check {data}" in made.stdout
    assert CliRunner().invoke(main, ["check", data, "--no-official"]).exit_code == 0
    assert CliRunner().invoke(main, ["stats", data]).exit_code == 0


def test_own_data_by_command(tmp_path: Path, database: Callable[..., Path]) -> None:
    """One faulty line stops it with exit code 2 and no traceback; a good file gets through."""
    shop = database(tmp_path / "shop.sqlite")
    rows = [{"question": f"{n}?", "query": f"SELECT {n}"} for n in range(10)]
    questions = tmp_path / "q.jsonl"
    questions.write_text("\n".join(map(json.dumps, [*rows, {"question": "?"}])))
    command = ["import", "--db", str(shop), "--questions", str(questions), str(tmp_path / "data")]
    bad = CliRunner().invoke(main, command)
    assert bad.exit_code == 2
    assert "line 11: 'query' is missing" in bad.stderr
    questions.write_text("\n".join(map(json.dumps, rows)))
    good = CliRunner().invoke(main, [*command, "--test-share", "0.2", "--copy"])
    assert good.exit_code == 0
    assert re.search(r"test\.parquet +2 tasks", good.stdout)


def test_download_from_a_file(zipped: Path, tmp_path: Path) -> None:
    """The way without a network."""
    result = CliRunner().invoke(main, ["download", str(tmp_path / "data"), "--from", str(zipped)])
    assert result.exit_code == 0
    assert (tmp_path / "data" / "train.parquet").is_file()


def test_the_environment_names_the_folder(spider: Path, tmp_path: Path) -> None:
    """`$VERL_SPIDER_DATA_DIR` stands in for every folder argument."""
    runner = CliRunner(env={"VERL_SPIDER_DATA_DIR": str(tmp_path / "data")})
    assert runner.invoke(main, ["convert", str(spider)]).exit_code == 0
    assert runner.invoke(main, ["check", "--no-official"]).exit_code == 0
    assert runner.invoke(main, ["stats"]).exit_code == 0


@pytest.mark.parametrize("command", ["download", "convert", "check", "import", "stats"])
def test_help_has_an_example(command: str) -> None:
    """Every command shows one."""
    result = CliRunner().invoke(main, [command, "--help"])
    assert result.exit_code == 0
    assert f"Example: spider-data {command}" in result.stdout


def run(program: str, *arguments: Path) -> str:
    """What a program of `tests/programs` prints, in a fresh process."""
    command = [sys.executable, str(Path(__file__).parent / "programs" / program), *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_the_import_loads_nothing_heavy(tmp_path: Path) -> None:
    """The name costs little; pyarrow is loaded by the first file, and pandas, a second's work, not even then."""
    assert run("light_import.py", tmp_path / "a.parquet") == "light\n"


def test_every_public_name_is_there() -> None:
    """The lazy names exist, and a wrong one is an AttributeError."""
    import spider_data

    for name in spider_data.__all__:
        assert getattr(spider_data, name) is not None
    assert set(dir(spider_data)) == set(spider_data.__all__)
    with pytest.raises(AttributeError, match="no attribute 'read_task'"):
        _ = spider_data.read_task  # pyright: ignore[reportAttributeAccessIssue]


def test_converting_needs_little_memory(spider: Path, tmp_path: Path) -> None:
    """A training file as large as the official one, parse trees and all, stays under 500 MB."""
    row = json.loads((spider / "train_spider.json").read_text())[0]
    condition = [False, 2, [0, [0, 5, False], None], '"some value"', None]
    select = [False, [[0, [0, [0, column, False], None]] for column in range(4)]]
    tree = {"from": {"table_units": [["table_unit", 0]], "conds": []}, "select": select, "where": [condition] * 3}
    tree |= {
        "groupBy": [],
        "having": [],
        "orderBy": [],
        "limit": None,
        "intersect": None,
        "union": None,
        "except": None,
    }
    row |= {"sql": tree | {"union": tree}, "query_toks": ["SELECT"] * 60, "query_toks_no_value": ["select"] * 60}
    rows = [row | {"question": f"question {number}", "question_toks": ["word"] * 40} for number in range(7000)]
    (spider / "train_spider.json").write_text(json.dumps(rows, indent=1))
    assert (spider / "train_spider.json").stat().st_size > 20e6
    del rows
    assert int(run("convert_memory.py", spider, tmp_path / "data")) < 500e6
