"""The first rollout must leave something to train on.

With a wrong version, a wrong node name or an endpoint that keeps token ids to itself, every rollout still "succeeds"
and training changes nothing for hours. `canary` looks at one finished rollout and names the likely cause.
Pure: it sees spans and triplets only through the attributes that it reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from lit_sql_trainer.errors import CanaryError

LLM_CALL = "openai.chat.completion"


class SpanLike(Protocol):
    """The two attributes of a span that matter here."""

    @property
    def name(self) -> str: ...
    @property
    def attributes(self) -> Mapping[str, object]: ...


class TripletLike(Protocol):
    """One adapted model call: `prompt` and `response` hold `token_ids`."""

    @property
    def prompt(self) -> Mapping[str, object] | None: ...
    @property
    def response(self) -> Mapping[str, object] | None: ...


def canary(spans: Sequence[SpanLike], triplets: Sequence[TripletLike], *, active_agent: str | None = None) -> None:
    """Accept a rollout whose trace yields at least one triplet with prompt and response tokens.

    Args:
        spans: all spans of one succeeded rollout.
        triplets: what the adapter made of them.
        active_agent: the pattern of trained node names, for the message.

    Raises:
        CanaryError: nothing could be trained on; the message tells which link of the chain is broken.
    """
    if any(has_tokens(triplet) for triplet in triplets):
        return
    raise CanaryError(f"the first rollout left no tokens to train on: {_cause(spans, active_agent)}")


def has_tokens(triplet: TripletLike) -> bool:
    """Whether a triplet holds token ids of both its prompt and its response."""
    return _token_ids(triplet.prompt) and _token_ids(triplet.response)


def _cause(spans: Sequence[SpanLike], active_agent: str | None) -> str:
    calls = [span for span in spans if span.name.startswith(LLM_CALL)]
    nodes = sorted({str(span.attributes["langchain.chain.type"]) for span in spans if _is_node(span)})
    if not calls:
        return (
            f"{len(spans)} spans, none of them a model call. Likely causes: the OpenTelemetry or agentops version "
            f"loses spans (see `check_versions`), the tracer's LangChain handler is not among the callbacks, or the "
            f"agent called no model"
        )
    if not any(span.attributes.get("prompt_token_ids") for span in calls):
        return (
            f"{len(calls)} model calls, none with token ids. The endpoint must return `prompt_token_ids` and "
            f"`choices[].token_ids`: use the local server, or vLLM 0.10.2 or later asked with `return_token_ids`"
        )
    if not any(span.attributes.get("response_token_ids") for span in calls):
        return f"{len(calls)} model calls with prompt tokens and no reply tokens: the model ends at its first token"
    if not nodes:
        return (
            f"{len(calls)} model calls with token ids, but no graph node above them. Likely causes: the tracer's "
            f"handler is not among the graph's callbacks, or the graph runs asynchronously"
        )
    return (
        f"{len(calls)} model calls with token ids, but none directly under a node that matches {active_agent!r}; "
        f"chains seen: {', '.join(nodes)}. Likely causes: a wrong `--active-agent`, or a chain between the node and "
        f"its call (`prompt | model`, `with_structured_output`)"
    )


def _token_ids(side: Mapping[str, object] | None) -> bool:
    return bool(side) and bool(side.get("token_ids"))


def _is_node(span: SpanLike) -> bool:
    return "langchain.chain.type" in span.attributes
