"""What the command line calls the parameters of the library, for messages that reach a person."""

from __future__ import annotations

from sql_graph.errors import SqlGraphError, UsageError

_OPTIONS = {
    "max_turns": "--max-turns",
    "prompt_budget_tokens": "--prompt-budget",
    "timeout_s": "--timeout",
    "deadline_s": "--deadline",
    "max_rows": "--max-rows",
    "votes": "--votes",
    "thinking_tokens": "--thinking-tokens",
    "base_url": "--base-url",
    "sampling parameter 'temperature'": "--temperature",
    "sampling parameter 'max_tokens'": "--max-tokens",
}
"""The parameters that a `UsageError` may name, and the option that sets each."""


def with_options(error: SqlGraphError) -> str:
    """The error's sentence, in which an option stands for the parameter that it sets."""
    message = str(error)
    if isinstance(error, UsageError):
        for parameter, option in _OPTIONS.items():
            message = message.replace(parameter, option)
    return message
