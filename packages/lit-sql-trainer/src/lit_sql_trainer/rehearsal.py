"""The algorithm of a dry run: the library's `Baseline`, with a model to ask.

The local server is started inside `run`, after the runners were forked: they must not inherit its threads, nor torch.
Imports the library: import this module late.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import agentlightning as agl  # pyright: ignore[reportMissingTypeStubs]  typed inline, but without a marker

from lit_sql_trainer.agent import MODEL_RESOURCE
from lit_sql_trainer.config import Profile

if TYPE_CHECKING:
    from lit_sql_trainer.local.server import LocalServer

POLL_S = 0.2


class Rehearsal(agl.Baseline):
    """Runs each task once, greedily, against `endpoint` or, without one, against `model` in the local server."""

    def __init__(self, profile: Profile, *, model: str, endpoint: str | None) -> None:
        super().__init__(polling_interval=POLL_S, span_verbosity="none")
        self._profile = profile
        self._model = model
        self._endpoint = endpoint

    async def run(  # pyright: ignore[reportIncompatibleMethodOverride]  Baseline's decorators hide two parameters
        self, train_dataset: agl.Dataset[Any] | None = None, val_dataset: agl.Dataset[Any] | None = None
    ) -> None:
        """Have every task answered once."""
        with ExitStack() as closing:
            self.set_initial_resources({MODEL_RESOURCE: self._open(closing)})
            await super().run(train_dataset=train_dataset, val_dataset=val_dataset)  # pyright: ignore[reportCallIssue]

    def _open(self, closing: ExitStack) -> agl.LLM:
        if self._endpoint:
            key = os.environ.get("OPENAI_API_KEY")
            return agl.LLM(endpoint=self._endpoint, model=self._model, api_key=key)
        server = _local_server(self._model, self._profile)
        closing.callback(server.stop)
        return agl.LLM(endpoint=server.start(), model=server.name)


def _local_server(model: str, profile: Profile) -> LocalServer:
    from lit_sql_trainer.local.generate import Generator
    from lit_sql_trainer.local.policy import load_policy
    from lit_sql_trainer.local.server import LocalServer

    policy = load_policy(model, device=profile.grpo.device)
    return LocalServer(
        generator=Generator(policy.model, end_ids=policy.end_ids, decode=policy.decode),
        tokenizer=policy.tokenizer,
        context_tokens=min(policy.context_tokens, profile.grpo.context_tokens),
        max_new_tokens=profile.grpo.max_new_tokens,
    )
