"""The dry run shows each link of the chain on a few tasks, with the local server or somebody's endpoint."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lit_sql_trainer.errors import SetupError
from lit_sql_trainer.machine.endpoints import served_model
from lit_sql_trainer.testing import ScriptedEndpoint

PROGRAM = Path(__file__).parent / "programs" / "dry_run_twice.py"


@pytest.fixture(scope="module")
def dry_runs(weak_model: Path, toy_data: Path) -> list[dict[str, Any]]:
    """One against the local server, one against an endpoint without token ids that always counts items."""
    reply = "```sql\nSELECT count(*) FROM item\n```"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("OPENAI")}
    with ScriptedEndpoint(lambda body: reply, ids=False) as endpoint:
        done = subprocess.run(
            [sys.executable, PROGRAM, weak_model, toy_data, endpoint.url],
            capture_output=True,
            text=True,
            timeout=280,
            env=environment,
        )
    reports = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(reports) == 2, done.stdout + done.stderr
    return reports


@pytest.mark.slow
def test_the_local_server_passes_the_checklist(dry_runs: list[dict[str, Any]]) -> None:
    """Ten tasks with their spans, SQL, outcome and reward, then every line of the checklist is ok."""
    report = dry_runs[0]
    text = "\n".join(report["said"])
    assert (report["passed"], report["failed"]) == (True, []), text
    assert len([line for line in report["said"] if line.startswith("validation-")]) == 10
    assert "openai.chat.completion" in text
    assert "turn 1: SELECT" in text
    assert "reward 1; 1 calls and" in text
    for what in (
        "rollouts ended: 10 of 10",
        "schema seen: in the prompts of 10 of 10, 10 of 10 tables",
        "tokens traced",
    ):
        assert f"[ok]   {what}" in text


@pytest.mark.slow
def test_an_endpoint_of_ones_own_need_not_return_token_ids(dry_runs: list[dict[str, Any]]) -> None:
    """OPENAI_API_BASE is used when set, its first model asked; missing token ids are a warning there."""
    report = dry_runs[1]
    text = "\n".join(report["said"])
    assert "model scripted at http://127.0.0.1:" in report["said"][0]
    assert (report["passed"], report["failed"]) == (True, ["tokens traced"]), text
    assert "[warn] tokens traced: in 0 of 10" in text


def test_an_endpoint_that_is_down_is_named() -> None:
    """Before anything is started."""
    with pytest.raises(SetupError, match=r"127\.0\.0\.1:9/v1' names no model"):
        served_model("http://127.0.0.1:9/v1", None)
