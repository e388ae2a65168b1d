"""Which fault a failed request shows, and what the server said about it."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, cast

import openai

from sql_graph.errors import ModelFault

_TAG = re.compile(r"<(?:style|script)\b.*?</(?:style|script)>|<[^<>]*>", re.DOTALL | re.IGNORECASE)
_HTML = re.compile(r"\s*(?:<!doctype html|<html|<head|<body)", re.IGNORECASE)
MESSAGE_CHARS = 200
PAGE_CHARS = 20_000


class AnswerError(Exception):
    """An answer that arrived and is of no use. `EndpointChat` turns it into a `ModelCallError`."""

    def __init__(self, fault: ModelFault, said: str, *, status: int | None = None) -> None:
        super().__init__(said)
        self.fault = fault
        self.said = said
        """The answer's own words, or what is wrong with it."""
        self.status = status
        """The HTTP status that the answer names, or came with."""


def fault_of(error: Exception) -> ModelFault:
    """The fault behind an error that a request ended with."""
    if answer := _answer_error(error):
        return answer.fault
    if isinstance(error, openai.APITimeoutError):
        return ModelFault.TIMEOUT
    if isinstance(error, openai.APIConnectionError):
        return ModelFault.UNREACHABLE
    if isinstance(error, openai.APIStatusError):
        return fault_of_status(error.status_code)
    if isinstance(error, openai.APIResponseValidationError) or hasattr(error, "response"):
        return ModelFault.NOT_A_CHAT_ANSWER  # LangChain notes the response on what went wrong in reading it
    return ModelFault.REJECTED


def status_of(error: Exception) -> int | None:
    """The HTTP status that the endpoint answered with, or that its answer names."""
    if answer := _answer_error(error):
        return answer.status
    return error.status_code if isinstance(error, openai.APIStatusError) else None


def fault_of_status(status: int) -> ModelFault:
    """The fault that an HTTP status shows."""
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


def retry_after_s(error: Exception) -> float | None:
    """The seconds that the server asks to wait, as a number or a date; None when it does not say."""
    if not isinstance(error, openai.APIStatusError):
        return None
    said = error.response.headers.get("retry-after", "").strip()
    try:
        seconds = float(said)
    except ValueError:
        seconds = _seconds_until(said)
    return seconds if seconds is not None and math.isfinite(seconds) and seconds >= 0 else None


def _seconds_until(date: str) -> float | None:
    """The seconds until a date as HTTP writes it, 0 if it is past; None if it is none."""
    try:
        moment = parsedate_to_datetime(date)
        return max((moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds(), 0.0)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def words_of(error: Exception, *, secret: str) -> str:
    """What the server said, or the operating system where no server spoke: short, quoted, and never `secret`."""
    said = _said(error)
    return _short(said.replace(secret, "***") if secret else said)


def _said(error: Exception) -> str:
    """The server's own words, or the operating system's where no server spoke."""
    if answer := _answer_error(error):
        return answer.said
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
    return f"{type(error).__name__}: {error}"


def _answer_error(error: BaseException | None) -> AnswerError | None:
    """The useless answer behind an error of the OpenAI client, which takes it for a lost connection."""
    while error is not None and not isinstance(error, AnswerError):
        error = error.__cause__
    return error


def _short(text: str) -> str:
    """One line of at most `MESSAGE_CHARS`; an HTML page is named as such and reduced to its text."""
    page = "an HTML page, " if _HTML.match(text) else ""
    text = text[:PAGE_CHARS]
    words = " ".join(_TAG.sub(" ", text).split()) if page else " ".join(text.split())
    short = words if len(words) <= MESSAGE_CHARS else words[:MESSAGE_CHARS].rstrip() + "…"
    return f"{page}{short!r}" if short else page.rstrip(", ")
