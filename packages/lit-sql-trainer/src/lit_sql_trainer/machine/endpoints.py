"""Describes OpenAI-compatible endpoints: their address, the one in the environment, and the model that one serves."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import httpx

from lit_sql_trainer.errors import SetupError

BASE_VARIABLES = ("OPENAI_API_BASE", "OPENAI_BASE_URL")
TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEndpoint:
    """The address of a model, and the name to ask for."""

    url: str
    model: str
    api_key: str | None = field(default=None, repr=False)
    """None sends the key in OPENAI_API_KEY, if there is one."""
    keeps_alive: bool = False
    """Whether the server sends a sign of life about every second while it works, as our own server does. Then the time
    limit ends a request only when the server falls silent, and a slow machine loses no rollout."""


def endpoint_of_environment() -> str | None:
    """The base URL that the environment names, or None."""
    return next((value for name in BASE_VARIABLES if (value := os.environ.get(name))), None)


def served_model(endpoint: str, wanted: str | None) -> str:
    """The model to ask an endpoint for: `wanted`, else the first that it serves.

    Raises:
        SetupError: the endpoint cannot be reached, or neither it nor `wanted` names a model.
    """
    key = os.environ.get("OPENAI_API_KEY", "")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        answer = httpx.get(f"{endpoint.rstrip('/')}/models", headers=headers, timeout=TIMEOUT_S)
        if wanted:  # the endpoint answers; it need not list its models
            return wanted
        answer.raise_for_status()
        return str(answer.json()["data"][0]["id"])
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, LookupError, TypeError) as error:
        raise SetupError(
            f"endpoint {endpoint!r} names no model ({type(error).__name__}: {error}): is it up? "
            f"Name the model with --model, or leave the endpoint out to use the tiny model"
        ) from error
