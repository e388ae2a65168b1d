"""Records the agent's first prompt from the graph itself: exactly the prompt of training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lit_sql_trainer.profile.profile import RolloutSettings
from sql_graph import SqlDatabase, build_graph
from sql_graph.errors import PromptBudgetError

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage
    from langchain_core.runnables import RunnableConfig

_ROLES = {"human": "user", "ai": "assistant", "system": "system"}
Messages = tuple[Mapping[str, str], ...]
"""Role and content of each message, as a chat template takes them."""


def as_messages(prompt: Iterable[BaseMessage]) -> Messages:
    """A prompt as a chat template takes it."""
    return tuple({"role": _ROLES[each.type], "content": str(each.content)} for each in prompt)


class FirstPrompt:
    """The agent of one database, with a model that only records the prompt."""

    def __init__(self, file: Path, settings: RolloutSettings) -> None:
        self.file = file
        self._heard = _Listener()
        self._graph = build_graph(
            chat=self._heard,
            database=SqlDatabase(file),
            max_turns=1,
            check=settings.check,
            style=settings.style,
            rewrite=settings.rewrite,
            prompt_budget_tokens=settings.prompt_budget_tokens,
        )

    def __call__(self, question: str) -> Messages | None:
        """The first prompt for a question; None where the budget allows none.

        Raises:
            sql_graph.DatabaseError: the database cannot be read, or holds no table.
        """
        self._heard.messages = ()
        try:
            self._graph.invoke({"question": question})  # pyright: ignore[reportUnknownMemberType]  langgraph's annotations are partial
        except PromptBudgetError:
            return None
        return self._heard.messages


class _Listener:
    """A chat model that records the prompt and gives no answer."""

    def __init__(self) -> None:
        self.messages: Messages = ()

    def invoke(self, input: list[BaseMessage], /, config: RunnableConfig | None = None) -> BaseMessage:
        """Record the prompt and reply without SQL, which ends the agent."""
        from langchain_core.messages import AIMessage

        self.messages = as_messages(input)
        return AIMessage("")
