"""Importing a package brings only what it needs; importing is cheap."""

import json
import subprocess
import sys

import pytest

HEAVY = ["agentlightning", "torch", "transformers", "verl", "vllm", "ray", "litellm"]
MUST_NOT_LOAD = {
    "spider_data": [*HEAVY, "pandas", "pyarrow", "langgraph", "langchain_core", "openai", "sql_graph", "sql_reward"],
    "sql_graph": [*HEAVY, "pandas", "pyarrow", "spider_data", "sql_reward"],
    "sql_reward": [*HEAVY, "pandas", "pyarrow", "langgraph", "langchain_core", "openai", "spider_data", "sql_graph"],
    "lit_sql_trainer": [*HEAVY, "pandas", "pyarrow", "langgraph", "langchain_core"],
    "lit_sql_trainer.cli": [*HEAVY, "pandas", "pyarrow", "langgraph", "langchain_core"],
    "lit_sql_trainer.commands.train": [*HEAVY, "pandas", "pyarrow", "langgraph", "langchain_core"],
}


def loaded_by(statement: str) -> set[str]:
    """The top-level modules in a fresh interpreter after it ran the statement."""
    program = (
        f"import sys, json\n{statement}\nprint(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(json.loads(finished.stdout.splitlines()[-1]))


@pytest.mark.parametrize("module", MUST_NOT_LOAD)
def test_import_is_light(module: str) -> None:
    """Importing a package does not pull the training stack, a sibling, or a data-frame library."""
    assert loaded_by(f"import {module}").isdisjoint(MUST_NOT_LOAD[module])


def test_graph_in_use_is_light() -> None:
    """Answering a question loads neither Agent-lightning nor torch nor pandas."""
    names = loaded_by("from sql_graph import answer, build_graph, ScriptedChat, SqlDatabase")
    assert names.isdisjoint([*HEAVY, "pandas", "pyarrow"])
