"""An agent that answers questions about any SQL database: question in, checked SQL out.

Names are imported from their modules at first use, so that importing the package is fast. Rarer names
are in the public modules `sql_graph.errors`, `sql_graph.options`, `sql_graph.ports` and `sql_graph.testing`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sql_graph.agent.chat import open_chat as open_chat
    from sql_graph.agent.graph import TRAINED_NODES as TRAINED_NODES
    from sql_graph.agent.graph import answer as answer
    from sql_graph.agent.graph import build_graph as build_graph
    from sql_graph.agent.graph import build_langgraph_sql_agent as build_langgraph_sql_agent
    from sql_graph.agent.state import Attempt as Attempt
    from sql_graph.agent.state import SqlAnswer as SqlAnswer
    from sql_graph.agent.state import StopReason as StopReason
    from sql_graph.agent.tokens import estimate_tokens as estimate_tokens
    from sql_graph.databases.database import SqlDatabase as SqlDatabase
    from sql_graph.databases.limits import DatabaseLimits as DatabaseLimits
    from sql_graph.errors import DatabaseError as DatabaseError
    from sql_graph.errors import ModelCallError as ModelCallError
    from sql_graph.errors import ModelFault as ModelFault
    from sql_graph.errors import SqlGraphError as SqlGraphError
    from sql_graph.errors import UsageError as UsageError
    from sql_graph.options import CheckMode as CheckMode
    from sql_graph.options import PromptStyle as PromptStyle
    from sql_graph.parse import extract_sql as extract_sql
    from sql_graph.ports import ChatModel as ChatModel
    from sql_graph.ports import Database as Database
    from sql_graph.ports import Observation as Observation
    from sql_graph.testing import ScriptedChat as ScriptedChat
    from sql_graph.testing import TableDatabase as TableDatabase

_HOMES: dict[str, tuple[str, ...]] = {
    # the agent
    "agent.graph": ("TRAINED_NODES", "answer", "build_graph", "build_langgraph_sql_agent"),
    "agent.state": ("Attempt", "SqlAnswer", "StopReason"),
    "options": ("CheckMode", "PromptStyle"),
    # the model and the database
    "agent.chat": ("open_chat",),
    "databases.database": ("SqlDatabase",),
    "databases.limits": ("DatabaseLimits",),
    "ports": ("ChatModel", "Database", "Observation"),
    "parse": ("extract_sql",),
    "agent.tokens": ("estimate_tokens",),
    # doubles
    "testing": ("ScriptedChat", "TableDatabase"),
    "errors": (
        "DatabaseError",
        "ModelCallError",
        "ModelFault",
        "SqlGraphError",
        "UsageError",
    ),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}
__all__ = list(_HOME)  # pyright: ignore[reportUnsupportedDunderAll]  built from the table above


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
