"""A model folder behind an endpoint of this process, set up as training sets it up.

Same server, same number of threads, same bounds of context and reply, so that the same weights give the same replies.
Imports torch: call it late.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lit_sql_trainer.machine.endpoints import ModelEndpoint
from lit_sql_trainer.profile.grpo import GrpoSettings
from lit_sql_trainer.runs.waiting import waiting

if TYPE_CHECKING:
    from lit_sql_trainer.local.server import LocalServer
    from lit_sql_trainer.profile.profile import Profile

WIDE_CONTEXT = 2**17
"""More than any model that is served here has; its own limit applies."""
LOCAL_KEY = "local"
"""What the local server is sent as a key, so that nobody's real key reaches it."""


def serving_settings(profile: Profile) -> GrpoSettings:
    """How a model is served here: as the profile trains it here, else with all the context that the model has."""
    return profile.grpo or GrpoSettings(context_tokens=WIDE_CONTEXT, max_new_tokens=profile.rollout.max_tokens)


def local_server(model: str, settings: GrpoSettings, *, port: int | None = None) -> LocalServer:
    """A server around the model at `model`, a folder or a Hugging Face id; not yet started.

    Raises:
        ModelError: it cannot be loaded, or has no chat template.
    """
    from lit_sql_trainer.local.opening import open_policy, server_of

    return server_of(open_policy(model, settings), settings, port=port)


@contextmanager
def serving(model: str, settings: GrpoSettings) -> Generator[ModelEndpoint]:
    """The model at `model`, answering on the loopback interface for as long as the block lasts.

    Raises:
        ModelError: see `local_server`.
        SetupError: the server does not come up.
    """
    with waiting("loading the model"):
        server = local_server(model, settings)
        server.start()
    try:
        yield ModelEndpoint(url=server.url, model=server.name, api_key=LOCAL_KEY, keeps_alive=True)
    finally:
        server.stop()
