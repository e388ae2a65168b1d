"""The entry point for LangGraph's dev server and Studio: the agent that the environment describes.

`SQL_GRAPH_DB` is the database's URL or file and `SQL_GRAPH_MODEL` the model's name; the endpoint is that of
`OPENAI_API_BASE` with the key of `OPENAI_API_KEY`. `SQL_GRAPH_VOTES` is how many samples vote, 1 unless it is set.
`langgraph.json` points here.
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
        UsageError: `SQL_GRAPH_DB` or `SQL_GRAPH_MODEL` is not set, or `SQL_GRAPH_VOTES` is no whole number above 0.
    """
    database, model = _required("SQL_GRAPH_DB"), _required("SQL_GRAPH_MODEL")
    votes = _votes()
    greedy = {"temperature": 0.0} if votes > 1 else None  # the first sample; else the server chooses
    chat = open_chat(model=model, sampling_parameters=greedy)
    return build_graph(database=SqlDatabase(database), chat=chat, votes=votes)


def _votes() -> int:
    value = os.environ.get("SQL_GRAPH_VOTES", "").strip() or "1"
    if not value.isascii() or not value.isdigit():
        raise UsageError(f"SQL_GRAPH_VOTES must be a whole number, got {value!r}", argument="SQL_GRAPH_VOTES")
    return int(value)


def _required(name: str) -> str:
    value = os.environ.get(name, "").strip()
    if not value:
        raise UsageError(
            f"{name} is not set",
            argument=name,
            advice="give it in the environment or in the .env file beside langgraph.json",
        )
    return value
