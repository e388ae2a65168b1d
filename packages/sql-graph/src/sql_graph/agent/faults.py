"""Which fault a failed request shows, and what the server said about it."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, cast

from sql_graph.errors import ModelFault

_TAG = re.compile(r"<(?:style|script)\b.*?</(?:style|script)>|<[^<>]*>", re.DOTALL | re.IGNORECASE)
_HTML = re.compile(r"\s*(?:<!doctype html|<html|<head|<body)", re.IGNORECASE)
MESSAGE_CHARS = 200
PAGE_CHARS = 20_000


class AnswerError(Exception):
    """A request that brought no completion. `Endpoint.call` turns it into a `ModelCallError`."""

    def __init__(
        self, fault: ModelFault, said: str, *, status: int | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(said)
        self.fault = fault
        self.said = said
        """The answer's own words, or what is wrong with it."""
        self.status = status
        """The HTTP status that the answer names, or came with."""
        self.retry_after_s = retry_after_s
        """The seconds that the server asks to wait; None when it does not say."""


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


def seconds_to_wait(retry_after: str) -> float | None:
    """The seconds that a `Retry-After` header asks for, as a number or a date; None when it names no wait."""
    said = retry_after.strip()
    try:
        seconds = float(said)
    except ValueError:
        seconds = _seconds_until(said)
    return seconds if seconds is not None and math.isfinite(seconds) and seconds >= 0 else None


def failed_status(status: int, *, said: object, retry_after: str) -> AnswerError:
    """The failure that an HTTP status shows. `said` is the body: what JSON there says, or its text."""
    if isinstance(said, dict):
        fields = cast("dict[str, Any]", said)
        said = fields.get("message") or fields.get("detail") or fields
    return AnswerError(fault_of_status(status), str(said), status=status, retry_after_s=seconds_to_wait(retry_after))


def _seconds_until(date: str) -> float | None:
    """The seconds until a date as HTTP writes it, 0 if it is past; None if it is none."""
    try:
        moment = parsedate_to_datetime(date)
        return max((moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds(), 0.0)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def root_of(error: BaseException) -> BaseException:
    """The first cause of an error: often the operating system's own words."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def short_words(text: str) -> str:
    """One line of at most `MESSAGE_CHARS`; an HTML page is named as such and reduced to its text."""
    page = "an HTML page, " if _HTML.match(text) else ""
    text = text[:PAGE_CHARS]
    words = " ".join(_TAG.sub(" ", text).split()) if page else " ".join(text.split())
    short = words if len(words) <= MESSAGE_CHARS else words[:MESSAGE_CHARS].rstrip() + "…"
    return f"{page}{short!r}" if short else page.rstrip(", ")
