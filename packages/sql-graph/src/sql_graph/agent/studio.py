"""The entry point for LangGraph's dev server and Studio: the agent that the environment describes.

`SQL_GRAPH_DB` is the database's URL or file and `SQL_GRAPH_MODEL` the model's name; the endpoint is that of
`OPENAI_API_BASE` with the key of `OPENAI_API_KEY`. `langgraph.json` points here.
"""

from __future__ import annotations

import os

from sql_graph.agent.chat import open_chat
from sql_graph.agent.graph import SqlGraph, build_graph
from sql_graph.databases.database import SqlDatabase
from sql_graph.errors import UsageError


def make_graph() -> SqlGraph:
    """The agent for the database and model that the environment names.

    Raises:
        UsageError: `SQL_GRAPH_DB` or `SQL_GRAPH_MODEL` is not set.
    """
    database, model = _required("SQL_GRAPH_DB"), _required("SQL_GRAPH_MODEL")
    return build_graph(database=SqlDatabase(database), chat=open_chat(model=model))


def _required(name: str) -> str:
    value = os.environ.get(name, "").strip()
    if not value:
        raise UsageError(
            f"{name} is not set",
            argument=name,
            advice="give it in the environment or in the .env file beside langgraph.json",
        )
    return value
