"""Defines the algorithm of a dry run: the library's `Baseline`, with a model to ask.

`run` starts the local server after the library has forked the runners: they must not inherit its threads, nor torch.
Imports the library: import this module late.
"""

from __future__ import annotations

import os
from contextlib import ExitStack

import agentlightning as agl  # pyright: ignore[reportMissingTypeStubs]  typed inline, but without a marker

from lit_sql_trainer.local.hosted import serving, serving_settings
from lit_sql_trainer.profile.profile import Profile
from lit_sql_trainer.rollouts.wire import MODEL_RESOURCE
from lit_sql_trainer.runs.waiting import waiting

POLL_S = 0.2


class Rehearsal(agl.Baseline):
    """Runs each task once, greedily, at `endpoint` or, without one, on `model` in the local server."""

    def __init__(self, profile: Profile, *, model: str, endpoint: str | None) -> None:
        super().__init__(polling_interval=POLL_S, span_verbosity="none")
        self._profile = profile
        self._model = model
        self._endpoint = endpoint

    async def run(  # pyright: ignore[reportIncompatibleMethodOverride]  Baseline's decorators hide two parameters
        self, train_dataset: agl.Dataset[object] | None = None, val_dataset: agl.Dataset[object] | None = None
    ) -> None:
        """Run every task once."""
        with ExitStack() as closing:
            self.set_initial_resources({MODEL_RESOURCE: self._open(closing)})
            closing.enter_context(waiting("asking the model"))
            await super().run(train_dataset=train_dataset, val_dataset=val_dataset)  # pyright: ignore[reportCallIssue]

    def _open(self, closing: ExitStack) -> agl.LLM:
        if self._endpoint:
            key = os.environ.get("OPENAI_API_KEY")
            return agl.LLM(endpoint=self._endpoint, model=self._model, api_key=key)
        endpoint = closing.enter_context(serving(self._model, serving_settings(self._profile)))
        return agl.LLM(endpoint=endpoint.url, model=endpoint.model, api_key=endpoint.api_key)
