"""What one answer cost and what its queries gave, noted beside the graph's state, which stays small.

The state carries text for the model; rows and tokens are for the person who asked. One ledger serves one answer.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sql_graph.agent.calls import Call, read_call
from sql_graph.sqltext import canonical_query

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage

    from sql_graph.agent.state import SqlAnswer
    from sql_graph.ports import Observation


class Ledger:
    """Notes each reply of the model and the result of each query, for one answer in one thread."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        """Every call so far, in order."""
        self._results: dict[str, Observation] = {}

    def replied(self, node: str, message: BaseMessage) -> None:
        """Note a reply that a node asked for."""
        self.calls.append(read_call(node, message))

    def executed(self, sql: str, observation: Observation) -> None:
        """Note what a query gave; its rows stay here until the answer is complete."""
        self._results[canonical_query(sql)] = observation

    def complete(self, found: SqlAnswer) -> SqlAnswer:
        """The answer with its rows and its calls."""
        result = None if found.sql is None else self._results.get(canonical_query(found.sql))
        return replace(found, calls=tuple(self.calls), result=result)
