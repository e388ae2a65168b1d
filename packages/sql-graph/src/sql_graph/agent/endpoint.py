"""An OpenAI-compatible endpoint: where it is, what it is asked with, and how often.

Both chat models share this: `open_chat`'s, which LangChain's `ChatOpenAI` makes requests for, and `HttpChat`, which
needs no client but ours. Imports neither LangChain nor the OpenAI client. Keys appear in no message, representation
or trace.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Required, TypedDict, TypeVar
from urllib.parse import parse_qsl, urlsplit

import httpx

from sql_graph.agent.faults import AnswerError, short_words
from sql_graph.agent.sampling import request_fields
from sql_graph.errors import ModelCallError, ModelFault, UsageError

T = TypeVar("T")
OPENAI_URL = "https://api.openai.com/v1"
NO_KEY = "not-needed"
"""Sent where an endpoint of one's own is given without a key: the client insists on one."""
MIN_SECRET_CHARS = 6
"""A shorter key, such as the `EMPTY` that local servers are given, is no secret; hiding it would garble messages."""
MAX_ANSWER_BYTES = 16 * 1024 * 1024
TRANSIENT = frozenset(
    {
        ModelFault.UNREACHABLE,
        ModelFault.TIMEOUT,
        ModelFault.RATE_LIMITED,
        ModelFault.SERVER_ERROR,
        ModelFault.NOTHING_GENERATED,
    }
)
"""The faults worth another request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a model is asked, with what, and how often a transient fault is tried again."""

    model: str
    url: str
    """Without its query and without a closing slash."""
    query: dict[str, str] = field(default_factory=dict[str, str])
    """The query of the URL, which travels with every request."""
    key: str = field(default=NO_KEY, repr=False)
    sampling: dict[str, Any] = field(default_factory=dict[str, Any])
    """The fields of `request_fields`."""
    timeout_s: float = 120.0
    """Bounds one request, from connecting to the last byte of the answer."""
    silence_s: float = 120.0
    """Bounds each wait for more bytes."""
    max_answer_bytes: int = MAX_ANSWER_BYTES
    max_retries: int = 2
    retry_wait_s: float = 0.5
    max_wait_s: float = 20.0

    def call(self, request: Callable[[], T], failure_of: Callable[[Exception], AnswerError]) -> T:
        """What `request` gives, tried again after transient faults. `failure_of` reads what it raised.

        Raises:
            ModelCallError: a fault that does not pass, or no request is left.
        """
        made = 1
        while True:
            try:
                return request()
            except Exception as error:  # noqa: BLE001  whatever a reply brings about ends one call, never a whole run
                found = failure_of(error)
                wait_s = found.retry_after_s
                if wait_s is None:
                    wait_s = min(self.retry_wait_s * 2 ** (made - 1), self.max_wait_s)
                if found.fault not in TRANSIENT or made > self.max_retries or wait_s > self.max_wait_s:
                    secret = self.secret
                    raise self._failed(found, made) from (None if secret and secret in str(error) else error)
            time.sleep(wait_s)
            made += 1

    @property
    def secret(self) -> str:
        """The key, if it is one to keep; else empty."""
        return self.key if len(self.key) >= MIN_SECRET_CHARS and self.key != NO_KEY else ""

    def _failed(self, found: AnswerError, requests: int) -> ModelCallError:
        said = found.said.replace(self.secret, "***") if self.secret else found.said
        return ModelCallError(
            short_words(said),
            fault=found.fault,
            attempts=requests,
            status=found.status,
            endpoint=self.url,
            model=self.model,
        )


class EndpointOptions(TypedDict, total=False):
    """The keywords of `checked_endpoint`."""

    model: Required[str]
    base_url: str | None
    api_key: str | None
    sampling_parameters: Mapping[str, Any] | None
    timeout_s: float
    max_retries: int
    retry_wait_s: float
    max_wait_s: float
    silence_s: float | None
    max_answer_bytes: int


def checked_endpoint(
    *,
    model: str,
    base_url: str | None = None,
    api_key: str | None = None,
    sampling_parameters: Mapping[str, Any] | None = None,
    timeout_s: float = 120.0,
    max_retries: int = 2,
    retry_wait_s: float = 0.5,
    max_wait_s: float = 20.0,
    silence_s: float | None = None,
    max_answer_bytes: int = MAX_ANSWER_BYTES,
) -> Endpoint:
    """The endpoint that these arguments and the environment describe; see `open_chat`. Makes no request.

    Raises:
        UsageError: no model, no key for OpenAI itself, credentials in the URL, or an unknown sampling parameter.
    """
    if not model.strip():
        raise UsageError(
            "no model is named", argument="model", advice="give the name under which the endpoint serves it"
        )
    silence_s = timeout_s if silence_s is None else silence_s
    above_0 = {"timeout_s": timeout_s, "silence_s": silence_s, "max_answer_bytes": max_answer_bytes}
    from_0 = {"max_retries": max_retries, "retry_wait_s": retry_wait_s, "max_wait_s": max_wait_s}
    for name, value in above_0.items():
        if value <= 0:
            raise UsageError(f"{name} must be greater than 0, got {value!r}", argument=name)
    for name, value in from_0.items():
        if value < 0:
            raise UsageError(f"{name} must be at least 0, got {value!r}", argument=name)
    endpoint, query = _checked_endpoint(endpoint_address(base_url))
    key = _checked_key(api_key or os.environ.get("OPENAI_API_KEY") or "")
    if not key and endpoint == OPENAI_URL:
        raise UsageError(
            "no API key",
            argument="api_key",
            advice="set OPENAI_API_KEY, or give the base_url of an endpoint that needs none",
        )
    return Endpoint(
        model=model,
        url=endpoint,
        query=query,
        key=key or NO_KEY,
        sampling=request_fields(sampling_parameters or {}),
        timeout_s=timeout_s,
        silence_s=silence_s,
        max_answer_bytes=max_answer_bytes,
        max_retries=max_retries,
        retry_wait_s=retry_wait_s,
        max_wait_s=max_wait_s,
    )


def endpoint_address(base_url: str | None) -> str:
    """The address that is asked: the one given, else the environment's, else OpenAI's own."""
    return base_url or os.environ.get("OPENAI_API_BASE") or os.environ.get("OPENAI_BASE_URL") or OPENAI_URL


def _checked_endpoint(url: str) -> tuple[str, dict[str, str]]:
    """The URL without a closing slash and without its query, and that query."""
    try:
        parts = urlsplit(url.strip())
        known = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and not parts.fragment
        known = known and not any(letter.isspace() for letter in url.strip())
        httpx.URL(url.strip())
    except (ValueError, httpx.InvalidURL):
        parts, known = urlsplit(""), False
    if parts.username or parts.password:
        raise UsageError(
            "the endpoint's URL holds a user name or password",
            argument="base_url",
            advice="give the key as api_key or OPENAI_API_KEY",
        )
    if not known:
        shown = repr(url) if "@" not in url else "this"
        raise UsageError(
            f"{shown} is not the URL of an endpoint",
            argument="base_url",
            advice="expected something like 'http://localhost:8000/v1'",
        )
    return parts._replace(query="").geturl().rstrip("/"), dict(parse_qsl(parts.query, keep_blank_values=True))


def _checked_key(key: str) -> str:
    key = key.strip()
    if not (key.isascii() and key.isprintable()):
        raise UsageError(
            "the API key holds a character that no header can carry",
            argument="api_key",
            advice="check OPENAI_API_KEY or api_key",
        )
    return key
