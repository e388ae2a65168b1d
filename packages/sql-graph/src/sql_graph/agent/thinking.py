"""How much a thinking model may think: the parameters by which servers are told.

OpenAI and the servers that follow it take `reasoning_effort`; chat templates such as Qwen's take `enable_thinking`. A
reply and the thoughts before it share one limit of tokens, so room for thoughts is added to the room for the reply.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from sql_graph.errors import UsageError

REPLY_TOKENS = 1024
"""Room for the reply where there is room for thoughts and no other limit."""


class Effort(StrEnum):
    """How much a model thinks before it answers."""

    NONE = "none"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


def thinking_parameters(
    *, effort: Effort | None, thinking_tokens: int | None, max_tokens: int | None, is_openai: bool
) -> dict[str, Any]:
    """Sampling parameters for an effort and a budget; None leaves either to the server.

    OpenAI itself refuses parameters that it does not know, so it gets `reasoning_effort` alone. Any other server is
    also told through its chat template, and, for no effort, only there.

    Raises:
        UsageError: the budget is below 0, or there is one for a model that is told not to think.
    """
    if thinking_tokens is not None and thinking_tokens < 0:
        raise UsageError(f"thinking_tokens must be at least 0, got {thinking_tokens!r}", argument="thinking_tokens")
    if effort is Effort.NONE and thinking_tokens:
        raise UsageError("thinking_tokens are of no use to an effort of none", argument="thinking_tokens")
    parameters: dict[str, Any] = {"max_tokens": max_tokens}
    if thinking_tokens is not None:
        parameters["max_tokens"] = (max_tokens or REPLY_TOKENS) + thinking_tokens
    if effort is None:
        return parameters
    if is_openai or effort is not Effort.NONE:
        parameters["reasoning_effort"] = str(effort)
    if not is_openai:
        parameters["chat_template_kwargs"] = {"enable_thinking": effort is not Effort.NONE}
    return parameters
