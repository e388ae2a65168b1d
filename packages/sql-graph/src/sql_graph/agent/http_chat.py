"""A chat model over plain HTTP, for the command line and other programs that do not need LangChain's OpenAI client.

It sends the requests of `open_chat`'s model and raises the same errors, but imports neither `openai` nor
`langchain_openai`, whose imports take longer than most answers. It is no LangChain model: callbacks and tracers do not
see its calls, so training needs `open_chat`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Unpack, cast

import httpx
from langchain_core.messages import AIMessage, BaseMessage

from sql_graph.agent.completion import whole_characters
from sql_graph.agent.endpoint import OPENAI_URL, Endpoint, EndpointOptions, checked_endpoint
from sql_graph.agent.faults import AnswerError, failed_status, root_of
from sql_graph.agent.sampling import request_fields
from sql_graph.agent.transport import BoundedClient
from sql_graph.errors import ModelFault

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig

_ROLES = {"human": "user", "ai": "assistant", "system": "system"}


def open_http_chat(**described: Unpack[EndpointOptions]) -> HttpChat:
    """A chat model over plain HTTP; takes what `open_chat` takes. Makes no request.

    Raises:
        UsageError: no model, no key for OpenAI itself, credentials in the URL, or an unknown sampling parameter.
    """
    return HttpChat(checked_endpoint(**described))


class HttpChat:
    """The model behind `endpoint`, which `checked_endpoint` makes. Safe to share between threads."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._client = BoundedClient(endpoint.url, timeout_s=endpoint.timeout_s, max_bytes=endpoint.max_answer_bytes)

    @property
    def temperature(self) -> float | None:
        """The temperature of every call that names no other; None leaves it to the server."""
        return self.endpoint.sampling.get("temperature")

    @property
    def seed(self) -> int | None:
        """The seed of every call that names no other."""
        return self.endpoint.sampling.get("seed")

    def invoke(
        self, input: list[BaseMessage], /, config: RunnableConfig | None = None, **sampling_parameters: Any
    ) -> AIMessage:
        """The model's reply to these messages. `config` is there for LangChain's sake and changes nothing.

        `sampling_parameters` hold for this call, in place of the endpoint's.

        Raises:
            UsageError: an unknown sampling parameter, or one out of range.
            ModelCallError: the model could not be asked, after every request that was worth making.
        """
        body = self._body(input, request_fields(sampling_parameters))
        return self.endpoint.call(lambda: self._post(body), failure_of)

    def _body(self, messages: list[BaseMessage], of_call: dict[str, Any]) -> bytes:
        """The request, in UTF-8; half a character in the question or in the database becomes U+FFFD."""
        sampling = {**self.endpoint.sampling, **of_call}
        extra = {**self.endpoint.sampling.get("extra_body", {}), **sampling.pop("extra_body", {})}
        if self.endpoint.url == OPENAI_URL and "max_tokens" in sampling:
            sampling["max_completion_tokens"] = sampling.pop("max_tokens")
        said = [{"role": _ROLES[message.type], "content": _content(message)} for message in messages]
        request = {"model": self.endpoint.model, "messages": said, **sampling, **extra}
        try:
            return json.dumps(request, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            return json.dumps(whole_characters(request), ensure_ascii=False).encode()

    def _post(self, body: bytes) -> AIMessage:
        answer = self._client.post(
            f"{self.endpoint.url}/chat/completions",
            params=self.endpoint.query or None,
            content=body,
            headers={"content-type": "application/json", "authorization": f"Bearer {self.endpoint.key}"},
            timeout=self.endpoint.silence_s,
        )
        if not answer.is_success:
            retry_after = answer.headers.get("retry-after", "")
            raise failed_status(answer.status_code, said=_said(answer.text), retry_after=retry_after)
        return _message(answer.json())

    def __repr__(self) -> str:
        return f"HttpChat(model={self.endpoint.model!r}, endpoint={self.endpoint.url!r})"


def failure_of(error: Exception) -> AnswerError:
    """The failure behind an error that a request of httpx ended with."""
    if isinstance(error, AnswerError):
        return error
    if isinstance(error, httpx.TimeoutException):
        return AnswerError(ModelFault.TIMEOUT, str(root_of(error)))
    if isinstance(error, httpx.HTTPError | httpx.InvalidURL):
        return AnswerError(ModelFault.UNREACHABLE, str(root_of(error)))
    return AnswerError(ModelFault.NOT_A_CHAT_ANSWER, f"{type(error).__name__}: {error}")


def _message(completion: dict[str, Any]) -> AIMessage:
    """The first choice of a completion that `read_completion` has passed."""
    choice = completion["choices"][0]
    fields: dict[str, Any] = choice["message"]
    reasoning = fields.get("reasoning_content") or fields.get("reasoning")
    kept = {"reasoning_content": reasoning} if isinstance(reasoning, str) and reasoning else {}
    metadata = {
        "finish_reason": choice.get("finish_reason"),
        "token_usage": completion.get("usage"),
        "model_name": completion.get("model"),
        "logprobs": choice.get("logprobs"),
    }
    return AIMessage(content=fields.get("content") or "", additional_kwargs=kept, response_metadata=metadata)


def _content(message: BaseMessage) -> Any:
    return cast("Any", message.content)  # pyright: ignore[reportUnknownMemberType]  untyped in langchain


def _said(text: str) -> object:
    """What a failing server says: the `error` of its JSON, all of its JSON, or its text."""
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        return fields.get("error", fields) or text
    return text
