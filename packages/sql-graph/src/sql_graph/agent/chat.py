"""A chat model behind an OpenAI-compatible endpoint, whose faults are one typed error.

LangChain's own `ChatOpenAI` makes the requests, so tracers see what they expect. What is added: transient faults, and
only those, are tried again within bounds; everything else is a `ModelCallError` that names the cause and the number
of requests made. Each request is a call of the OpenAI client of its own, so each is seen by instrumentation. Keys
appear in no message, representation or trace.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

import openai
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatResult
from langchain_openai import ChatOpenAI
from pydantic import Field, SecretStr

from sql_graph.agent.completion import whole_characters
from sql_graph.agent.endpoint import MAX_ANSWER_BYTES, OPENAI_URL, Endpoint, checked_endpoint
from sql_graph.agent.faults import AnswerError, failed_status, root_of
from sql_graph.agent.transport import BoundedClient
from sql_graph.errors import ModelFault


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
    endpoint = checked_endpoint(
        model=model,
        base_url=base_url,
        api_key=api_key,
        sampling_parameters=sampling_parameters,
        timeout_s=timeout_s,
        max_retries=max_retries,
        retry_wait_s=retry_wait_s,
        max_wait_s=max_wait_s,
        silence_s=silence_s,
        max_answer_bytes=max_answer_bytes,
    )
    return EndpointChat(
        model=model,
        base_url=endpoint.url,
        api_key=SecretStr(endpoint.key),
        default_query=endpoint.query or None,
        http_client=BoundedClient(endpoint.url, timeout_s=timeout_s, max_bytes=max_answer_bytes),
        timeout=endpoint.silence_s,
        max_retries=0,
        retries=max_retries,
        retry_wait_s=retry_wait_s,
        max_wait_s=max_wait_s,
        use_responses_api=False,
        disable_streaming=True,
        **endpoint.sampling,
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
        def request() -> ChatResult:
            return super(EndpointChat, self)._generate(messages, stop=stop, run_manager=run_manager, **kwargs)

        return self._endpoint().call(request, failure_of)

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

    def _endpoint(self) -> Endpoint:
        key = self.openai_api_key
        return Endpoint(
            model=self.model_name,
            url=self.openai_api_base or OPENAI_URL,
            key=key.get_secret_value() if isinstance(key, SecretStr) else "",
            max_retries=self.retries,
            retry_wait_s=self.retry_wait_s,
            max_wait_s=self.max_wait_s,
        )

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        return [("model", self.model_name), ("endpoint", self.openai_api_base)]


def failure_of(error: Exception) -> AnswerError:
    """The failure behind an error that a request of the OpenAI client ended with."""
    behind: BaseException | None = error
    while behind is not None:  # the client takes a useless answer for a lost connection
        if isinstance(behind, AnswerError):
            return behind
        behind = behind.__cause__
    if isinstance(error, openai.APIStatusError):
        said = error.body or error.response.text
        retry_after = error.response.headers.get("retry-after", "")
        return failed_status(error.status_code, said=said, retry_after=retry_after)
    if isinstance(error, openai.APIConnectionError):
        timed_out = isinstance(error, openai.APITimeoutError)
        cause = "" if error.__cause__ is None else str(root_of(error))
        return AnswerError(ModelFault.TIMEOUT if timed_out else ModelFault.UNREACHABLE, cause)
    is_read = isinstance(error, openai.APIResponseValidationError) or hasattr(error, "response")
    fault = ModelFault.NOT_A_CHAT_ANSWER if is_read else ModelFault.REJECTED  # LangChain notes what it read on errors
    return AnswerError(fault, f"{type(error).__name__}: {error}")


def _keep_reasoning(response: dict[str, Any] | openai.BaseModel, result: ChatResult) -> None:
    """Put a server's `reasoning_content`, which LangChain drops, beside each message's text."""
    fields = response if isinstance(response, dict) else response.model_dump(warnings=False)
    for choice, generation in zip(fields.get("choices") or [], result.generations, strict=False):
        message = cast("dict[str, Any]", choice.get("message") or {})
        said = message.get("reasoning_content") or message.get("reasoning")
        if isinstance(said, str) and said:
            generation.message.additional_kwargs["reasoning_content"] = said
