"""What is fine passes: the embedded benchmark and the tiny model, all the way to a rollout's tokens."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECK = [Path(sys.executable).with_name("lit-sql"), "check", "tiny"]


@pytest.mark.slow
def test_the_embedded_benchmark_and_the_tiny_model_pass(tmp_path: Path) -> None:
    """Nothing fails and nothing warns, within three minutes, and nothing is written."""
    pytest.importorskip("torch", reason="needs the `cpu` dependency group")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI")}
    done = subprocess.run(
        [*CHECK, "--json"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**environment, "OMP_NUM_THREADS": "1"},
        timeout=290,
        check=False,
    )
    report = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, report["ok"]) == (0, True), report
    assert report["counts"]["warn"] == 0, report
    families = {finding["family"] for finding in report["findings"]}
    assert families == {"versions", "ports", "model", "hardware", "disk", "data", "golds", "prompts", "rollout"}
    told = {finding["what"]: finding["found"] for finding in report["findings"]}
    assert told["tokens traced"] == "in 8 of 8"
    assert list(tmp_path.iterdir()) == []
