"""A model as training opens it, and the server around it: evaluating, serving and training do it here, and alike.

Same number of threads, same bounds of context and reply, so that the same weights give the same replies. Importing this
module is cheap; opening a model imports torch.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lit_sql_trainer.machine.endpoints import ModelEndpoint
from lit_sql_trainer.profile.grpo import GrpoSettings
from lit_sql_trainer.runs.waiting import waiting

if TYPE_CHECKING:
    from lit_sql_trainer.local.policy import Policy
    from lit_sql_trainer.local.server import LocalServer
    from lit_sql_trainer.profile.profile import Profile

WIDE_CONTEXT = 2**17
"""More than any model that is served here has; its own limit applies."""
LOCAL_KEY = "local"
"""What the local server is sent as a key, so that nobody's real key reaches it."""


def serving_settings(profile: Profile) -> GrpoSettings:
    """How a model is served here: as the profile trains it here, else with all the context that the model has."""
    return profile.grpo or GrpoSettings(context_tokens=WIDE_CONTEXT, max_new_tokens=profile.rollout.max_tokens)


def open_policy(model: str | Path, settings: GrpoSettings) -> Policy:
    """The model at `model`, a folder or a Hugging Face id, and torch's threads as `settings.torch_threads` says.

    Raises:
        ModelError: it cannot be loaded.
    """
    import torch  # 2 s, and only after the runners were forked

    from lit_sql_trainer.local.policy import load_policy

    torch.set_num_threads(settings.torch_threads or 1)
    policy = load_policy(model, device=settings.device)
    if not settings.torch_threads and not policy.small:
        torch.set_num_threads(os.cpu_count() or 1)
    return policy


def server_of(policy: Policy, settings: GrpoSettings) -> LocalServer:
    """A server around a model; not yet started.

    Raises:
        ModelError: the model has no chat template.
    """
    from lit_sql_trainer.local.server import LocalServer  # torch, as above

    return LocalServer(
        generator=policy.generator(),
        tokenizer=policy.tokenizer,
        context_tokens=min(settings.context_tokens, policy.context_tokens),
        max_new_tokens=settings.max_new_tokens,
        max_batch=settings.max_batch,
        batch_window_s=settings.batch_window_s,
    )


@contextmanager
def serving(model: str, settings: GrpoSettings) -> Generator[ModelEndpoint]:
    """The model at `model`, answering on the loopback interface for as long as the block lasts.

    Raises:
        ModelError: it cannot be loaded, or has no chat template.
        SetupError: the server does not come up.
    """
    with waiting("loading the model"):
        server = server_of(open_policy(model, settings), settings)
        server.start()
    try:
        yield ModelEndpoint(url=server.url, model=server.name, api_key=LOCAL_KEY, keeps_alive=True)
    finally:
        server.stop()
