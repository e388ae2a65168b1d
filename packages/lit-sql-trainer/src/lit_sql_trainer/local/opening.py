"""A model as training opens it, and the server around it: evaluating, serving and training do it here, and alike.

Imports torch: import this module late.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch

from lit_sql_trainer.local.policy import Policy, load_policy
from lit_sql_trainer.local.server import LocalServer
from lit_sql_trainer.profile.grpo import GrpoSettings


def open_policy(model: str | Path, settings: GrpoSettings) -> Policy:
    """The model at `model`, a folder or a Hugging Face id, and torch's threads as `settings.torch_threads` says.

    Raises:
        ModelError: it cannot be loaded.
    """
    torch.set_num_threads(settings.torch_threads or 1)
    policy = load_policy(model, device=settings.device)
    if not settings.torch_threads and not policy.small:
        torch.set_num_threads(os.cpu_count() or 1)
    return policy


def server_of(policy: Policy, settings: GrpoSettings, *, port: int | None = None) -> LocalServer:
    """A server around a model; not yet started.

    Raises:
        ModelError: the model has no chat template.
    """
    return LocalServer(
        generator=policy.generator(),
        tokenizer=policy.tokenizer,
        context_tokens=min(settings.context_tokens, policy.context_tokens),
        max_new_tokens=settings.max_new_tokens,
        max_batch=settings.max_batch,
        batch_window_s=settings.batch_window_s,
        port=port,
    )
