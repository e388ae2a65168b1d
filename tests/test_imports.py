"""Importing a package brings only what it needs; importing is cheap."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent / "programs" / "import_and_list_modules.py"
HEAVY = ["agentlightning", "torch", "transformers", "verl", "vllm", "ray", "litellm"]
MUST_NOT_LOAD = {
    "spider_data": [*HEAVY, "pandas", "pyarrow", "langgraph", "langchain_core", "openai", "sql_graph", "sql_reward"],
    "sql_graph": [*HEAVY, "pandas", "pyarrow", "spider_data", "sql_reward"],
    "sql_reward": [*HEAVY, "pandas", "pyarrow", "langgraph", "langchain_core", "openai", "spider_data", "sql_graph"],
    "lit_sql_trainer": [*HEAVY, "pandas", "pyarrow", "langgraph", "langchain_core"],
    "lit_sql_trainer.cli": [*HEAVY, "pandas", "pyarrow", "langgraph", "langchain_core"],
    "lit_sql_trainer.profile": [*HEAVY, "pandas", "pyarrow", "langgraph", "langchain_core"],
    "lit_sql_trainer.runs": [*HEAVY, "pandas", "pyarrow", "langgraph", "langchain_core"],
    "lit_sql_trainer.rollouts": [*HEAVY, "pandas", "pyarrow", "langgraph", "langchain_core"],
    "lit_sql_trainer.models": [*HEAVY, "pandas", "pyarrow", "langgraph", "langchain_core"],
    "lit_sql_trainer.commands.train": [*HEAVY, "pandas", "pyarrow", "langgraph", "langchain_core"],
}


def loaded_by(module: str, *names: str) -> set[str]:
    """The top-level modules in a fresh interpreter after it imported the names from the module."""
    command = [sys.executable, PROGRAM, module, *names]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(json.loads(finished.stdout.splitlines()[-1]))


@pytest.mark.parametrize("module", MUST_NOT_LOAD)
def test_import_is_light(module: str) -> None:
    """Importing a package does not pull the training stack, a sibling, or a data-frame library."""
    assert loaded_by(module).isdisjoint(MUST_NOT_LOAD[module])


def test_graph_in_use_is_light() -> None:
    """Answering a question loads neither Agent-lightning nor torch nor pandas."""
    names = loaded_by("sql_graph", "answer", "build_graph", "ScriptedChat", "SqlDatabase")
    assert names.isdisjoint([*HEAVY, "pandas", "pyarrow"])
