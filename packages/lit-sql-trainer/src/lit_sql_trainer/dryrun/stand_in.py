"""Turns a VERL profile into one that a dry run can use: replaces its model by one that answers here, and its data.

The dry run shows the agent, the data, the judge and the tracing. None of these needs a GPU, so a machine without one
uses the tiny model, which needs prompts of its own.
"""

from __future__ import annotations

from dataclasses import replace

from lit_sql_trainer.machine.admission import check_data_named
from lit_sql_trainer.machine.devices import find_gpus
from lit_sql_trainer.profile.grpo import GrpoSettings
from lit_sql_trainer.profile.named import PROFILES, TINY
from lit_sql_trainer.profile.profile import Profile


def rehearsable(profile: Profile, *, endpoint: str | None, has_gpu: bool | None = None) -> tuple[Profile, str]:
    """A local profile with the same agent, and a sentence that says what is different.

    An endpoint gets the profile's prompts, for the model that `--model` names or else for the first that it serves.
    Without an endpoint, the local server loads the model that the user names, or the profile's own model on a machine
    with a GPU. Otherwise the tiny model stands in. When the profile's usual data are missing, the embedded benchmark
    replaces them.

    Args:
        profile: any profile; one that trains locally is returned unchanged.
        endpoint: base URL of the user's endpoint.
        has_gpu: whether there is a GPU; None looks.

    Raises:
        DataError: the user names a data folder that does not exist.
    """
    if profile.verl is None:
        return profile, ""
    usual = PROFILES.get(profile.name)
    check_data_named(profile, usual.data if usual else None)
    said: list[str] = []
    if profile.data is not None and not profile.data.is_dir():
        said.append(f"no data in {str(profile.data)!r} yet, so the embedded benchmark is used")
        profile = replace(profile, data=None)
    named = usual is None or profile.model != usual.model
    sizes = profile.gpu.data
    local = replace(
        profile,
        verl=None,
        grpo=GrpoSettings(
            context_tokens=sizes.max_prompt_length + sizes.max_response_length,
            max_new_tokens=sizes.max_response_length,
            rollout_timeout_s=profile.rollout_timeout_s,
        ),
    )
    if endpoint:
        return (local if named else replace(local, model=None)), "; ".join(said)
    if has_gpu if has_gpu is not None else bool(find_gpus()):
        return replace(local, grpo=replace(local.local, device="cuda")), "; ".join(said)
    if named:
        return local, "; ".join(said)
    said.append(f"no GPU here, so the tiny model stands in for {profile.model}, with prompts of its own")
    return replace(local, model=None, rollout=TINY.rollout, grpo=TINY.grpo), "; ".join(said)
