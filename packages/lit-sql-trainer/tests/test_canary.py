"""The first rollout leaves tokens to train on, or the reason is named."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from lit_sql_trainer.errors import CanaryError
from lit_sql_trainer.rollouts.canary import canary

CALL = "openai.chat.completion"


@dataclass
class Span:
    name: str
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass
class Triplet:
    prompt: dict[str, Any]
    response: dict[str, Any]


NODE = Span("chain", {"langchain.chain.type": "write_query"})
TRACED = Span(CALL, {"prompt_token_ids": [1], "response_token_ids": [2]})


def test_one_triplet_with_tokens_is_enough() -> None:
    """A rollout with a trainable call passes, whatever else failed in it."""
    canary([], [Triplet({"token_ids": []}, {}), Triplet({"token_ids": [1]}, {"token_ids": [2]})])


@pytest.mark.parametrize(
    ("spans", "cause"),
    [
        ([], "0 spans, none of them a model call"),
        ([Span("agentlightning.annotation")], "OpenTelemetry or agentops version"),
        ([NODE, Span(CALL)], "none with token ids"),
        ([NODE, Span(CALL, {"prompt_token_ids": [1]})], "no reply tokens"),
        ([TRACED], "no graph node above them"),
        ([NODE, TRACED], "chains seen: write_query"),
    ],
)
def test_the_broken_link_is_named(spans: list[Span], cause: str) -> None:
    """Each way to lose tokens has its own explanation."""
    with pytest.raises(CanaryError) as caught:
        canary(spans, [], active_agent="^nobody$")
    assert cause in str(caught.value)


def test_triplets_without_tokens_do_not_count() -> None:
    """A triplet of a failed call has empty token ids; a rollout of only such triplets would train nothing."""
    empty = Triplet({"token_ids": []}, {"token_ids": []})
    with pytest.raises(CanaryError):
        canary([NODE, Span(CALL)], [empty])
