"""The named settings that `train NAME` accepts. Only what works is listed."""

from __future__ import annotations

from lit_sql_trainer.config import Profile, RolloutSettings
from lit_sql_trainer.errors import UnknownProfileError
from lit_sql_trainer.local.settings import GrpoSettings
from sql_graph import CheckMode, PromptStyle

TINY = Profile(
    name="tiny",
    summary="GRPO in PyTorch on a laptop CPU or one GPU: a model of a million parameters and an embedded benchmark",
    rollout=RolloutSettings(
        check=CheckMode.RULES,
        style=PromptStyle.COMPACT,
        prompt_budget_tokens=512,
        max_tokens=96,
        request_timeout_s=30,
        deadline_s=60,
    ),
    grpo=GrpoSettings(rollout_timeout_s=180),
)

PROFILES: dict[str, Profile] = {profile.name: profile for profile in (TINY,)}


def profile_named(name: str) -> Profile:
    """The profile of this name.

    Raises:
        UnknownProfileError: there is none; the message lists those that exist.
    """
    try:
        return PROFILES[name]
    except KeyError:
        raise UnknownProfileError(f"unknown profile {name!r}; profiles: {', '.join(PROFILES)}") from None
