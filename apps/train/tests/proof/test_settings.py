"""What the proof changes in VERL's dictionary, and that reading a proof needs nothing of what doing one needs."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from lit_sql_trainer.commands import train
from sql_train.proof import cpu

APP = Path(__file__).resolve().parents[2]
IMPORT = Path(__file__).with_name("import_the_proof.py")
CONFIG: dict[str, Any] = {
    "data": {"train_batch_size": 4},
    "actor_rollout_ref": {
        "model": {"path": "some/model"},
        "rollout": {"n": 2},
        "actor": {"ppo_mini_batch_size": 4, "ppo_micro_batch_size_per_gpu": 2},
    },
}


def test_the_cpu_changes_only_what_needs_a_gpu() -> None:
    """Sizes and learning settings stay."""
    changed = cpu.configure(CONFIG)
    actor = changed["actor_rollout_ref"]["actor"]
    assert (actor["strategy"], actor["ppo_mini_batch_size"], actor["use_torch_compile"]) == ("fsdp2", 4, False)
    assert changed["actor_rollout_ref"]["model"]["path"] == "some/model"
    assert changed["data"]["train_batch_size"] == 4


def test_modules_that_are_named_in_text_exist() -> None:
    """VERL and Ray import these in their own processes, where a wrong name ends in a traceback of theirs."""
    here = APP / "src" / "sql_train" / "proof"
    for name in (cpu.EXTERNAL_LIB, cpu.EXTERNAL_LIB_WITH_ADAPTER):
        assert (here / f"{name.removeprefix('sql_train.proof.')}.py").is_file()
    module, _, function = cpu.HOOK.rpartition(".")
    assert callable(getattr(import_module(module), function))


def test_the_arithmetic_needs_neither_torch_nor_verl() -> None:
    """Importing what does and judges a proof pulls none of the GPU stack nor the library."""
    variables = {**os.environ, "PYTHONPATH": str(APP / "src")}
    done = subprocess.run([sys.executable, IMPORT], capture_output=True, text=True, check=True, env=variables)
    assert done.stdout.strip() == "[]"


def test_the_command_finds_the_proof_by_its_entry_point(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What sql-train's metadata names takes what `train fast --cpu-proof` gives, and its answer is the exit code."""
    points = tomllib.loads((APP / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]
    module, _, function = points["lit_sql_trainer"]["cpu_proof"].partition(":")
    settings: list[Any] = []

    def prove(given: Any, *, say: Any) -> bool:
        settings.append(given)
        say("a line of the report")
        return False

    monkeypatch.setattr(import_module(module), "prove", prove)

    class Point:
        @staticmethod
        def load() -> Any:
            return getattr(import_module(module), function)

    monkeypatch.setattr(train, "entry_points", lambda **names: [Point] if names["name"] == "cpu_proof" else [])
    result = CliRunner().invoke(train.train_main, ["fast", "--cpu-proof", "--runs", str(tmp_path), "--name", "n"])
    assert (result.exit_code, result.output) == (1, "a line of the report\n")
    assert (settings[0].runs, settings[0].name) == (tmp_path, "n")
