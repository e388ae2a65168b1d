"""Somebody's OpenAI-compatible endpoint: which one the environment names, and which model it serves."""

from __future__ import annotations

import os

import httpx

from lit_sql_trainer.errors import SetupError

BASE_VARIABLES = ("OPENAI_API_BASE", "OPENAI_BASE_URL")
TIMEOUT_S = 10.0


def endpoint_of_environment() -> str | None:
    """The base URL that the environment names, if it does."""
    return next((value for name in BASE_VARIABLES if (value := os.environ.get(name))), None)


def find_model(endpoint: str, wanted: str | None) -> str:
    """The model to ask an endpoint for: the one that is wanted, else the first that it serves.

    Raises:
        SetupError: the endpoint cannot be reached, or names no model and none is wanted.
    """
    key = os.environ.get("OPENAI_API_KEY", "")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        answer = httpx.get(f"{endpoint.rstrip('/')}/models", headers=headers, timeout=TIMEOUT_S)
        if wanted:  # it is there; whether it lists its models is its own affair
            return wanted
        answer.raise_for_status()
        return str(answer.json()["data"][0]["id"])
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, LookupError, TypeError) as error:
        raise SetupError(
            f"endpoint {endpoint!r} names no model ({type(error).__name__}: {error}): is it up? "
            f"Name the model with --model, or leave the endpoint out to use the tiny model"
        ) from error
