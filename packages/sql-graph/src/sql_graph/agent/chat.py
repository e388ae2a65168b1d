"""A chat model behind an OpenAI-compatible endpoint, whose faults are one typed error.

LangChain's own `ChatOpenAI` makes the requests, so tracers see what they expect. What is added: transient faults, and
only those, are tried again within bounds; everything else is a `ModelCallError` that names the cause and the number
of requests made. Each request is a call of the OpenAI client of its own, so each is seen by instrumentation. Keys
appear in no message, representation or trace.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

import httpx
import openai
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatResult
from langchain_openai import ChatOpenAI
from pydantic import Field, SecretStr

from sql_graph.agent.completion import whole_characters
from sql_graph.agent.faults import AnswerError, fault_of, retry_after_s, status_of, words_of
from sql_graph.agent.sampling import request_fields
from sql_graph.agent.transport import BoundedClient
from sql_graph.errors import ModelCallError, ModelFault, UsageError

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


def open_chat(
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
) -> EndpointChat:
    """A chat model behind an OpenAI-compatible endpoint. Makes no request.

    Without `base_url`, `OPENAI_API_BASE` and then `OPENAI_BASE_URL` are used, else OpenAI itself; without `api_key`,
    `OPENAI_API_KEY`. A query in the URL travels with every request. `timeout_s` bounds one request, from connecting
    to the last byte of the answer; `silence_s`, where it is shorter, bounds each wait for more. A body beyond
    `max_answer_bytes`, as sent or decompressed, is not read on. A transient fault is tried again up to `max_retries`
    times, after `retry_wait_s`, twice that, and so on, or after the server's `Retry-After`; where that is beyond
    `max_wait_s` nothing is tried again.

    Raises:
        UsageError: no model, no key for OpenAI itself, credentials in the URL, or an unknown sampling parameter.
    """
    if not model.strip():
        raise UsageError(
            "no model is named", argument="model", advice="give the name under which the endpoint serves it"
        )
    silence_s = timeout_s if silence_s is None else silence_s
    if min(timeout_s, silence_s, max_answer_bytes) <= 0 or min(max_retries, retry_wait_s, max_wait_s) < 0:
        raise UsageError(
            "timeout_s, silence_s and max_answer_bytes must be above 0, and max_retries, retry_wait_s and max_wait_s "
            f"at least 0; got {timeout_s!r}, {silence_s!r}, {max_answer_bytes!r}, "
            f"{max_retries!r}, {retry_wait_s!r}, {max_wait_s!r}"
        )
    url = base_url or os.environ.get("OPENAI_API_BASE") or os.environ.get("OPENAI_BASE_URL") or OPENAI_URL
    endpoint, query = _checked_endpoint(url)
    key = _checked_key(api_key or os.environ.get("OPENAI_API_KEY") or "")
    if not key and endpoint == OPENAI_URL:
        raise UsageError(
            "no API key",
            argument="api_key",
            advice="set OPENAI_API_KEY, or give the base_url of an endpoint that needs none",
        )
    return EndpointChat(
        model=model,
        base_url=endpoint,
        api_key=SecretStr(key or NO_KEY),
        default_query=query or None,
        http_client=BoundedClient(endpoint, timeout_s=timeout_s, max_bytes=max_answer_bytes),
        timeout=silence_s,
        max_retries=0,
        retries=max_retries,
        retry_wait_s=retry_wait_s,
        max_wait_s=max_wait_s,
        use_responses_api=False,
        disable_streaming=True,
        **request_fields(sampling_parameters or {}),
    )


class EndpointChat(ChatOpenAI):
    """`ChatOpenAI` with bounded, visible retries and typed faults. Made by `open_chat`."""

    retries: int = Field(default=2, ge=0)
    retry_wait_s: float = Field(default=0.5, ge=0)
    max_wait_s: float = Field(default=20.0, ge=0)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        request = 1
        while True:
            try:
                return super()._generate(messages, stop=stop, run_manager=run_manager, **kwargs)
            except Exception as error:  # noqa: BLE001  whatever a reply brings about ends one call, never a whole run
                fault = fault_of(error)
                wait_s = retry_after_s(error)
                if wait_s is None:
                    wait_s = min(self.retry_wait_s * 2 ** (request - 1), self.max_wait_s)
                if fault not in TRANSIENT or request > self.retries or wait_s > self.max_wait_s:
                    failure = self._failure(error, fault, request)
                    raise failure from (None if self._secret() and self._secret() in str(error) else error)
            time.sleep(wait_s)
            request += 1

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        """The same requests from a worker thread, so that asynchronous callers get the same retries and errors."""
        return await BaseChatModel._agenerate(self, messages, stop=stop, run_manager=run_manager, **kwargs)

    def _create_chat_result(
        self, response: dict[str, Any] | openai.BaseModel, generation_info: dict[str, Any] | None = None
    ) -> ChatResult:
        try:
            result = super()._create_chat_result(response, generation_info)  # pyright: ignore[reportUnknownMemberType]  bare dicts in langchain-openai
        except Exception as error:  # the caller must see one kind of error, whatever LangChain stumbles over
            raise AnswerError(ModelFault.NOT_A_CHAT_ANSWER, str(response)) from error
        if not result.generations:
            raise AnswerError(ModelFault.NOT_A_CHAT_ANSWER, str(response))
        _keep_reasoning(response, result)
        return result

    def _get_request_payload(
        self, input_: LanguageModelInput, *, stop: list[str] | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """As LangChain's, but `max_tokens` keeps that name: servers other than OpenAI's may know no other."""
        untyped = super()._get_request_payload(input_, stop=stop, **kwargs)  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]  a bare dict in langchain-openai
        payload = cast("dict[str, Any]", untyped)
        if self.openai_api_base != OPENAI_URL and "max_completion_tokens" in payload:
            payload["max_tokens"] = payload.pop("max_completion_tokens")
        try:
            json.dumps(payload.get("messages"), ensure_ascii=False).encode()
        except UnicodeEncodeError:  # half a character in the question or in the database
            payload["messages"] = whole_characters(payload["messages"])
        return payload

    def _failure(self, error: Exception, fault: ModelFault, requests: int) -> ModelCallError:
        endpoint = self.openai_api_base or OPENAI_URL
        return ModelCallError(
            words_of(error, secret=self._secret()),
            fault=fault,
            attempts=requests,
            status=status_of(error),
            endpoint=endpoint,
            model=self.model_name,
        )

    def _secret(self) -> str:
        """The key, if it is one to keep."""
        key = self.openai_api_key
        value = key.get_secret_value() if isinstance(key, SecretStr) else ""
        return value if len(value) >= MIN_SECRET_CHARS and value != NO_KEY else ""

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        return [("model", self.model_name), ("endpoint", self.openai_api_base)]


def _keep_reasoning(response: dict[str, Any] | openai.BaseModel, result: ChatResult) -> None:
    """Put a server's `reasoning_content`, which LangChain drops, beside each message's text."""
    fields = response if isinstance(response, dict) else response.model_dump(warnings=False)
    for choice, generation in zip(fields.get("choices") or [], result.generations, strict=False):
        message = cast("dict[str, Any]", choice.get("message") or {})
        said = message.get("reasoning_content") or message.get("reasoning")
        if isinstance(said, str) and said:
            generation.message.additional_kwargs["reasoning_content"] = said


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
