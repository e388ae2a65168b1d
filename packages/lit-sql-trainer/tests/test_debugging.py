"""`lit-sql debug` and the other commands that look: what they print, and what they never import."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from lit_sql_trainer.cli import main
from lit_sql_trainer.testing import Fault, ScriptedEndpoint

LIST_MODULES = Path(__file__).parent / "programs" / "list_modules.py"
ANSWER = "```sql\nSELECT count(*) FROM item\n```"


def invoke(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture(autouse=True)
def no_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment names none, unless the test does."""
    for name in ("OPENAI_API_BASE", "OPENAI_BASE_URL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def test_prompts_queries_results_and_rewards_are_shown(toy_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten development questions at the endpoint that the environment names; no gold unless it is asked for."""
    with ScriptedEndpoint(lambda body: ANSWER, ids=False) as endpoint:
        monkeypatch.setenv("OPENAI_API_BASE", endpoint.url)
        result = invoke("debug", "--data", toy_data, "--set", "check=rules")
        shown = invoke("debug", "--data", toy_data, "-n", 3, "--show-gold", "--profile", "tiny")
    assert result.exit_code == 0, result.output
    assert result.output.startswith(f"scripted at {endpoint.url}: 10 questions of validation")
    for part in (
        "validation-00000 on shop: How many items are there?",
        "write_query asks:",
        "user: ",
        "CREATE TABLE",
        "reply:",
        "query 1 (write_query): SELECT count(*) FROM item",
        "| 1 row",
        "ended: approved",
        "match: right on 2 of 2 databases; reward 1",
        "mean reward 0.",
    ):
        assert part in result.output
    assert "gold" not in result.output
    assert "gold: SELECT count(*) FROM pupil" in shown.output


def test_a_failure_of_ours_is_no_reward(toy_data: Path) -> None:
    """It is told, the others go on, and the command says that not all is well."""
    with ScriptedEndpoint(
        lambda body: ANSWER, fault=lambda number: Fault.SERVER_ERROR if number == 1 else None, ids=False
    ) as endpoint:
        words = ["--endpoint", endpoint.url, "--profile", "tiny", "--set", "max_retries=0"]
        result = invoke("debug", "--data", toy_data, "-n", 2, *words)
    assert result.exit_code == 1
    assert "failed, would be dropped: ModelCallError" in result.output
    assert "over 1 questions" in result.output


def test_spiders_development_set_comes_first(own_data: Path) -> None:
    """Where the folder has one."""
    (own_data / "dev.parquet").write_bytes((own_data / "test.parquet").read_bytes())
    with ScriptedEndpoint(lambda body: ANSWER, ids=False) as endpoint:
        result = invoke("debug", "--data", own_data, "-n", 1, "--endpoint", endpoint.url, "--profile", "tiny")
    assert "1 questions of dev in" in result.output


@pytest.mark.slow
def test_nothing_of_training_is_imported(random_model: Path, toy_data: Path) -> None:
    """A local model answers without Agent-lightning, and stays on the loopback interface."""
    heavy = "agentlightning,agentops,litellm,verl"
    words = ["debug", "--data", toy_data, "--model", random_model, "-n", 1, "--set", "rollout.max_tokens=8"]
    done = subprocess.run(
        [sys.executable, LIST_MODULES, heavy, "lit_sql_trainer.cli:main", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "write_query asks:" in done.stdout
    assert json.loads(done.stdout.splitlines()[-1]) == []


def test_eval_prints_its_table_and_exports_the_official_file(toy_data: Path, tmp_path: Path) -> None:
    """Line 0 first, and left out on request; the same command again asks nothing."""
    with ScriptedEndpoint(lambda body: ANSWER, ids=False) as endpoint:
        words = ["eval", "--endpoint", endpoint.url, "--profile", "tiny", "--data", toy_data, "--out", tmp_path / "e"]
        first = invoke(*words, "--export-predictions", tmp_path / "answers.sql")
        asked = len(endpoint.requests)
        again = invoke(*words, "--no-baseline")
        assert len(endpoint.requests) == asked
    assert first.exit_code == 0, first.output
    assert first.output.index("0  single turn, same prompt") < first.output.index("1  agent")
    assert "single turn" not in again.output
    assert len((tmp_path / "answers.sql").read_text().splitlines()) == 8
    assert (tmp_path / "answers.gold.sql").read_text().splitlines()[1] == "SELECT count(*) FROM pupil\tschool"


def test_eval_tells_failures_by_its_exit_code(toy_data: Path, tmp_path: Path) -> None:
    """Numbers are printed, and so is what is missing from them."""
    with ScriptedEndpoint(
        lambda body: ANSWER, fault=lambda number: Fault.SERVER_ERROR if number == 1 else None, ids=False
    ) as endpoint:
        words = ["--endpoint", endpoint.url, "--profile", "tiny", "--set", "max_retries=0", "--workers", 1]
        result = invoke("eval", *words, "--data", toy_data, "--out", tmp_path / "e")
    assert result.exit_code == 1
    assert "failures of ours: 1 answers are missing and count nowhere above" in result.output


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["eval", "--run", "nothing-here"], "no run 'nothing-here'"),
        (["eval", "--model", "./nothing-here"], "no model folder"),
        (["eval", "--profile", "nothing"], "unknown profile 'nothing'"),
        (["eval", "--set", "rollout.max_turns=0"], "rollout.max_turns=0: expected a whole number of at least 1"),
        (["eval", "-k", "2", "--temperature", "0"], "are 2 times the same reply"),
        (["eval", "--endpoint", "nonsense", "--model", "m"], "endpoint 'nonsense' names no model"),
        (["eval", "--split", "nothing"], "has no nothing.parquet"),
        (["debug", "--data", "nothing"], "no data folder 'nothing'"),
        (["compare", "nothing", "nothing"], "no evaluation at 'nothing'"),
    ],
)
def test_bad_input_is_refused_in_one_line(
    words: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With exit code 2 and a next step, and without leaving anything behind."""
    monkeypatch.chdir(tmp_path)
    result = invoke(*words)
    assert result.exit_code == 2, result.output
    lines = [line for line in result.output.strip().splitlines() if line.startswith("Error")]
    assert len(lines) == 1
    assert told in lines[0]
    assert "Traceback" not in result.output
    assert not list(tmp_path.iterdir())
