"""Which fault a failed request shows, and the one line that tells a person about it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from json import JSONDecodeError
from typing import Any, cast

import openai

from sql_graph.errors import ModelFault

_TAG = re.compile(r"<(?:style|script)\b.*?</(?:style|script)>|<[^<>]*>", re.DOTALL | re.IGNORECASE)
_HTML = re.compile(r"\s*(?:<!doctype html|<html|<head|<body)", re.IGNORECASE)
MESSAGE_CHARS = 200
PAGE_CHARS = 20_000

_NEXT_STEP = {
    ModelFault.UNREACHABLE: "check that the server runs and that the URL is right",
    ModelFault.TIMEOUT: "check the server's load, or allow more time with timeout_s",
    ModelFault.RATE_LIMITED: "wait, or send fewer requests at once",
    ModelFault.SERVER_ERROR: "look at the server's log",
    ModelFault.UNAUTHORIZED: "check the API key (OPENAI_API_KEY)",
    ModelFault.NOT_FOUND: "check the model's name and that the URL ends in the API's path, often /v1",
    ModelFault.REJECTED: "check the sampling parameters and the length of the prompt against the model's context",
    ModelFault.NOT_A_CHAT_ANSWER: "check that the URL is that of an OpenAI-compatible API; its path often ends in /v1",
}
_WHAT = {
    ModelFault.UNREACHABLE: "cannot be reached",
    ModelFault.TIMEOUT: "did not answer in time",
    ModelFault.RATE_LIMITED: "asks to slow down",
    ModelFault.SERVER_ERROR: "failed",
    ModelFault.UNAUTHORIZED: "refuses the API key",
    ModelFault.NOT_FOUND: "knows no such model or path",
    ModelFault.REJECTED: "rejects the request",
    ModelFault.NOT_A_CHAT_ANSWER: "answers with something other than a chat completion",
}


class NotAChatAnswerError(Exception):
    """An endpoint answered 200 with something that is no chat completion."""

    def __init__(self, response: object) -> None:
        super().__init__(str(response))


def fault_of(error: Exception) -> ModelFault:
    """The fault behind an error of the OpenAI client."""
    if isinstance(error, openai.APITimeoutError):
        return ModelFault.TIMEOUT
    if isinstance(error, openai.APIConnectionError):
        return ModelFault.UNREACHABLE
    if isinstance(error, openai.APIStatusError):
        return _fault_of_status(error.status_code)
    if isinstance(error, NotAChatAnswerError | JSONDecodeError | openai.APIResponseValidationError):
        return ModelFault.NOT_A_CHAT_ANSWER
    return ModelFault.REJECTED


def retry_after_s(error: Exception) -> float | None:
    """The seconds that the server asks to wait, as a number or a date; None when it does not say."""
    if not isinstance(error, openai.APIStatusError):
        return None
    said = error.response.headers.get("retry-after", "").strip()
    if not said:
        return None
    try:
        return max(float(said), 0.0)
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(said)
    except ValueError:
        return None
    return max((moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds(), 0.0)


def describe(error: Exception, fault: ModelFault, *, model: str, endpoint: str, requests: int, secret: str) -> str:
    """One line: what happened where, what the server said, how often it was tried, what to do. Never `secret`."""
    status = f" (HTTP {error.status_code})" if isinstance(error, openai.APIStatusError) else ""
    said = _short(_said(error).replace(secret, "***") if secret else _said(error))
    tried = "1 request" if requests == 1 else f"{requests} requests"
    quoted = f": {said}" if said else ""
    return (
        f"the endpoint {endpoint} {_WHAT[fault]}{status} for model {model!r} after {tried}{quoted}; {_NEXT_STEP[fault]}"
    )


def _fault_of_status(status: int) -> ModelFault:
    match status:
        case 429:
            return ModelFault.RATE_LIMITED
        case 401 | 403:
            return ModelFault.UNAUTHORIZED
        case 404:
            return ModelFault.NOT_FOUND
        case 408:
            return ModelFault.TIMEOUT
        case _ if status >= 500:
            return ModelFault.SERVER_ERROR
        case _:
            return ModelFault.REJECTED


def _said(error: Exception) -> str:
    """The server's own words, or the operating system's where no server spoke."""
    if isinstance(error, openai.APIConnectionError):
        cause: BaseException | None = error.__cause__
        while cause is not None and cause.__cause__ is not None:
            cause = cause.__cause__
        return str(cause or "")
    if isinstance(error, openai.APIStatusError):
        if isinstance(error.body, dict):
            body = cast("dict[str, Any]", error.body)
            return str(body.get("message") or body.get("detail") or body)
        return str(error.body or error.response.text)
    return error.doc if isinstance(error, JSONDecodeError) else str(error)


def _short(text: str) -> str:
    """One line of at most `MESSAGE_CHARS`; an HTML page is named as such and reduced to its text."""
    page = "an HTML page, " if _HTML.match(text) else ""
    text = text[:PAGE_CHARS]
    words = " ".join(_TAG.sub(" ", text).split()) if page else " ".join(text.split())
    short = words if len(words) <= MESSAGE_CHARS else words[:MESSAGE_CHARS].rstrip() + "…"
    return f"{page}{short!r}" if short else page.rstrip(", ")
