"""A model on the Hugging Face hub, by its small files: from the cache when they are there, else asked for once.

One request of at most a quarter of a minute and no retries, with the token that is here; nothing is written to the
cache.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import cast

import httpx

WAIT_S = 15.0
UNAUTHORIZED, FORBIDDEN, NOT_FOUND = 401, 403, 404
ERROR_HEADER = "X-Error-Code"


class Access(StrEnum):
    """The outcome of asking the hub."""

    CACHED = "on this machine"
    FETCHED = "can be fetched"
    GATED = "gated"
    """The hub asks for an accepted licence, and the token here (if any) does not have it."""
    UNKNOWN = "unknown"
    """No such model, or a private one."""
    NO_FILE = "no file"
    """The model is there, the file is not."""
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True, kw_only=True)
class HubFile:
    """One JSON file of a model."""

    access: Access
    content: Mapping[str, str | float]
    detail: str = ""


@lru_cache(maxsize=16)
def hub_file(model: str, name: str) -> HubFile:
    """Fetch a small JSON file of a model."""
    from huggingface_hub import constants, hf_hub_url, try_to_load_from_cache

    try:
        cached = try_to_load_from_cache(model, name)
    except ValueError as error:  # an id that no model can have
        return HubFile(access=Access.UNKNOWN, content={}, detail=str(error))
    if isinstance(cached, str):
        return HubFile(access=Access.CACHED, content=_parsed(Path(cached).read_text(encoding="utf-8")))
    if constants.HF_HUB_OFFLINE:
        return HubFile(access=Access.UNREACHABLE, content={}, detail="HF_HUB_OFFLINE is set")
    token = hub_token()
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        answer = httpx.get(hf_hub_url(model, name), headers=headers, timeout=WAIT_S, follow_redirects=True)
    except httpx.HTTPError as error:
        return HubFile(access=Access.UNREACHABLE, content={}, detail=str(error) or type(error).__name__)
    if answer.is_success:
        return HubFile(access=Access.FETCHED, content=_parsed(answer.text))
    code = answer.headers.get(ERROR_HEADER, "")
    if code == "GatedRepo" or answer.status_code == FORBIDDEN:
        access = Access.GATED
    elif code == "EntryNotFound":
        access = Access.NO_FILE
    elif answer.status_code in (UNAUTHORIZED, NOT_FOUND):
        access = Access.UNKNOWN
    else:
        access = Access.UNREACHABLE
    return HubFile(access=access, content={}, detail=f"HTTP {answer.status_code} {code}".strip())


def hub_token() -> str | None:
    """The token of this machine: in HF_TOKEN, or from a login."""
    from huggingface_hub import get_token

    return get_token()


def _parsed(text: str) -> Mapping[str, str | float]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return cast("Mapping[str, str | float]", value) if isinstance(value, dict) else {}
