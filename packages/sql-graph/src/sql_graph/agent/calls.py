"""What one call of the model cost, and how it came to its reply: tokens, reasoning, probability.

Endpoints report these in many places, or not at all. What is not reported is None, never a guess.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from sql_graph.parse import message_text, reasoning_text
from sql_graph.reading.thoughts import thoughts_in

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of the model."""

    node: str
    """The node that made it: `write_query`, `check_query` or `rewrite_query`."""
    prompt_tokens: int | None = None
    """Tokens read, as the endpoint counts them; None where it does not say."""
    completion_tokens: int | None = None
    """Tokens written, reasoning included; None where the endpoint does not say."""
    reasoning_tokens: int | None = None
    """Those of the written tokens that are reasoning; None where the endpoint does not say."""
    reasoning: str = ""
    """The model's reasoning, from beside the reply (`reasoning_content`) or from its think tags; no part of the SQL."""
    logprob: float | None = None
    """The natural logarithm of the reply's probability; None where no log-probabilities came."""
    sample: int = 0
    """Which of several samples of the answer it belongs to, counted from 0."""

    def to_dict(self) -> dict[str, Any]:
        """The call as JSON values."""
        return {name: getattr(self, name) for name in self.__slots__}


def read_call(node: str, message: BaseMessage) -> Call:
    """What a message of a chat model tells about the call that made it. Total: odd fields count as absent."""
    metadata = cast("dict[str, Any]", message.response_metadata)
    usage = _mapping(metadata.get("token_usage"))
    counted = _mapping(getattr(message, "usage_metadata", None))
    details = _mapping(usage.get("completion_tokens_details"))
    output = _mapping(counted.get("output_token_details"))
    return Call(
        node=node,
        prompt_tokens=_count(usage.get("prompt_tokens"), counted.get("input_tokens")),
        completion_tokens=_count(usage.get("completion_tokens"), counted.get("output_tokens")),
        reasoning_tokens=_count(details.get("reasoning_tokens"), output.get("reasoning")),
        reasoning=reasoning_text(message).strip() or thoughts_in(message_text(message)).strip(),
        logprob=_logprob(metadata.get("logprobs")),
    )


def total(counts: Iterable[int | None]) -> int | None:
    """The sum of counts; None where one is unknown, or there is none."""
    known = list(counts)
    return None if not known or None in known else sum(cast("list[int]", known))


def _logprob(value: object) -> float | None:
    tokens = _mapping(value).get("content")
    if not isinstance(tokens, list) or not tokens:
        return None
    found = [_mapping(token).get("logprob") for token in cast("list[object]", tokens)]
    if not all(isinstance(each, int | float) for each in found):
        return None
    return float(sum(cast("list[float]", found)))


def _mapping(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _count(*values: object) -> int | None:
    return next((v for v in values if isinstance(v, int) and not isinstance(v, bool)), None)
