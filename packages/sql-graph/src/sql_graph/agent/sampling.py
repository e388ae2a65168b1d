"""Sampling parameters: which there are, and under which field of `ChatOpenAI` each travels."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, cast

from sql_graph.errors import UsageError

OPENAI_FIELDS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "max_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens",
    "seed": "seed",
    "stop": "stop",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "logit_bias": "logit_bias",
    "reasoning_effort": "reasoning_effort",
    "logprobs": "logprobs",
    "top_logprobs": "top_logprobs",
}
"""Parameters of OpenAI's API, and LangChain's name for each."""
SERVER_FIELDS = frozenset(
    {"top_k", "min_p", "repetition_penalty", "length_penalty", "min_tokens", "ignore_eos", "chat_template_kwargs"}
)
"""Parameters that vLLM and its like know besides; they travel in `extra_body`."""
_RANGES = {"temperature": (0.0, None), "top_p": (0.0, 1.0), "max_tokens": (1, None), "max_completion_tokens": (1, None)}


def request_fields(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `ChatOpenAI` for these sampling parameters. A parameter that is None is left to the server.

    `extra_body` may hold anything else that an endpoint understands.

    Raises:
        UsageError: an unknown name, with the nearest known ones, or a value out of range.
    """
    fields: dict[str, Any] = {}
    body: dict[str, Any] = {}
    for name, value in parameters.items():
        if value is None:
            continue
        _check_range(name, value)
        if name in OPENAI_FIELDS:
            fields[OPENAI_FIELDS[name]] = value
        elif name in SERVER_FIELDS:
            body[name] = value
        elif name == "extra_body" and isinstance(value, Mapping):
            body |= cast("Mapping[str, Any]", value)
        else:
            raise UsageError(
                f"unknown sampling parameter {name!r}",
                argument=name,
                advice=f"{_known_near(name)} Anything else an endpoint knows goes into 'extra_body'",
            )
    return fields | ({"extra_body": body} if body else {})


def _check_range(name: str, value: Any) -> None:
    low, high = _RANGES.get(name, (None, None))
    if low is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or value < low or (high and value > high):
        bounds = f"at least {low}" if high is None else f"between {low} and {high}"
        raise UsageError(f"sampling parameter {name!r} must be a number {bounds}, got {value!r}", argument=name)


def _known_near(name: str) -> str:
    known = [*OPENAI_FIELDS, *sorted(SERVER_FIELDS)]
    near = get_close_matches(name, known, n=2, cutoff=0.6)
    return f"did you mean {' or '.join(map(repr, near))}?" if near else f"known are {', '.join(known)}."
