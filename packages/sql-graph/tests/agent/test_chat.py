"""The model behind an endpoint: what is asked, what is tried again, and what each fault says."""

from __future__ import annotations

import asyncio
import pickle
import socket
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import HumanMessage

from sql_graph import ModelCallError, ModelFault, UsageError, open_chat
from sql_graph.parse import was_cut

KEY = "sk-a-very-secret-key"
Open = Callable[..., Any]
ASK = [HumanMessage("hello")]
PAGE = "<!DOCTYPE html><html><head><title>Welcome</title></head><body><h1>It works</h1></body></html>"


@pytest.fixture
def chat_at(opener: Open) -> Open:
    """Opens each chat model of ours at a URL; it waits for nothing between requests."""

    def opened(url: str, **options: Any) -> Any:
        return opener(**{"model": "test-model", "base_url": url, "api_key": KEY, "retry_wait_s": 0.0} | options)

    return opened


def test_request_holds_model_messages_and_sampling(chat_at: Open, reply_with: Callable[..., Any]) -> None:
    """Sampling parameters reach the endpoint under the names that OpenAI-compatible servers know."""
    endpoint = reply_with("hi")
    sampling = {"temperature": 0.3, "top_p": 0.9, "max_tokens": 77, "seed": 5, "stop": ["\n\n"], "top_k": 20}
    assert chat_at(endpoint.url, sampling_parameters=sampling).invoke(ASK).content == "hi"
    request = endpoint.requests[0]
    assert request["model"] == "test-model"
    assert request["messages"] == [{"role": "user", "content": "hello"}]
    assert {name: request.get(name) for name in sampling} == sampling
    assert not request.get("stream")
    assert "max_completion_tokens" not in request
    assert endpoint.authorizations == [f"Bearer {KEY}"]


def test_endpoint_and_key_come_from_the_environment(
    reply_with: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without arguments, `OPENAI_API_BASE` comes before `OPENAI_BASE_URL`, and the key is `OPENAI_API_KEY`."""
    endpoint = reply_with("hi", "again")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/wrong")
    monkeypatch.setenv("OPENAI_API_BASE", endpoint.url)
    monkeypatch.setenv("OPENAI_API_KEY", "from-the-environment")
    assert open_chat(model="m").invoke(ASK).content == "hi"
    monkeypatch.delenv("OPENAI_API_BASE")
    monkeypatch.setenv("OPENAI_BASE_URL", endpoint.url)
    assert open_chat(model="m").invoke(ASK).content == "again"
    assert endpoint.authorizations == ["Bearer from-the-environment"] * 2


def test_transient_faults_are_tried_again(chat_at: Open, reply_with: Callable[..., Any], answers: Any) -> None:
    """A 500, a 429 and a cut connection are each overcome by another request."""
    cut = answers.Answer(body="{" + " " * 500, cut=True)
    endpoint = reply_with(answers.failure(500), answers.failure(429, retry_after="0"), cut, "at last")
    assert chat_at(endpoint.url, max_retries=3).invoke(ASK).content == "at last"
    assert len(endpoint.requests) == 4
    assert all(request == endpoint.requests[0] for request in endpoint.requests)


@pytest.mark.parametrize(
    ("status", "fault", "requests"),
    [
        (400, ModelFault.REJECTED, 1),
        (401, ModelFault.UNAUTHORIZED, 1),
        (403, ModelFault.UNAUTHORIZED, 1),
        (404, ModelFault.NOT_FOUND, 1),
        (422, ModelFault.REJECTED, 1),
        (429, ModelFault.RATE_LIMITED, 3),
        (500, ModelFault.SERVER_ERROR, 3),
        (503, ModelFault.SERVER_ERROR, 3),
    ],
)
def test_each_status_is_its_fault(
    chat_at: Open, reply_with: Callable[..., Any], answers: Any, status: int, fault: ModelFault, requests: int
) -> None:
    """Only faults that may pass are tried again; the error says which it is and how often it was tried."""
    endpoint = reply_with(*[answers.failure(status, f"reason {status} for {KEY}")] * 3)
    with pytest.raises(ModelCallError, match=f"reason {status}") as caught:
        chat_at(endpoint.url, max_retries=2).invoke(ASK)
    error = caught.value
    assert (error.fault, error.attempts, error.status) == (fault, requests, status)
    assert error.endpoint == endpoint.url
    assert len(endpoint.requests) == requests
    assert "\n" not in str(error)
    assert KEY not in str(error)


def test_retry_after_is_honoured_within_a_bound(
    chat_at: Open, reply_with: Callable[..., Any], answers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that asks for a short wait gets it; one that asks for more than the bound is not asked again."""
    endpoint = reply_with(answers.failure(429, retry_after="0.3"), "hi", answers.failure(429, retry_after="3600"))
    chat = chat_at(endpoint.url, max_wait_s=1.0)
    waits: list[float] = []
    monkeypatch.setattr("sql_graph.agent.endpoint.time.sleep", waits.append)
    chat.invoke(ASK)
    assert 0.3 in waits
    with pytest.raises(ModelCallError) as caught:
        chat.invoke(ASK)
    assert caught.value.attempts == 1


def test_unreachable_endpoint(chat_at: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens: one clear line with the URL and a next step."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(ModelCallError, match="cannot be reached") as caught:
        chat_at(url, max_retries=1).invoke(ASK)
    assert (caught.value.fault, caught.value.attempts, caught.value.status) == (ModelFault.UNREACHABLE, 2, None)
    assert url in str(caught.value)


def test_timeout(chat_at: Open, reply_with: Callable[..., Any], answers: Any) -> None:
    """A server that hangs is left at the timeout, as often as retries allow."""
    endpoint = reply_with(*[answers.Answer(delay_s=1.5)] * 2)
    with pytest.raises(ModelCallError, match="did not answer in time") as caught:
        chat_at(endpoint.url, timeout_s=0.2, max_retries=1).invoke(ASK)
    assert (caught.value.fault, caught.value.attempts) == (ModelFault.TIMEOUT, 2)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (PAGE, "text/html"),
        (PAGE, "application/json"),
        ("", "application/json"),
        ("{}", "application/json"),
        ('{"choices": null}', "application/json"),
        ('{"choices": []}', "application/json"),
        ("[1, 2]", "application/json"),
        ('"text"', "application/json"),
    ],
    ids=["page", "page as json", "empty", "no choices", "null choices", "zero choices", "list", "string"],
)
def test_answer_that_is_no_completion(
    chat_at: Open, reply_with: Callable[..., Any], answers: Any, body: str, content_type: str
) -> None:
    """Whatever else an endpoint answers with 200 is recognised, and not asked for again."""
    endpoint = reply_with(answers.Answer(body=body, content_type=content_type))
    with pytest.raises(ModelCallError, match="other than a chat completion") as caught:
        chat_at(endpoint.url).invoke(ASK)
    assert (caught.value.fault, caught.value.attempts) == (ModelFault.NOT_A_CHAT_ANSWER, 1)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_html_error_page_is_shown_as_its_text(chat_at: Open, reply_with: Callable[..., Any], answers: Any) -> None:
    """A gateway's page becomes a few words."""
    endpoint = reply_with(answers.Answer(status=502, body=PAGE, content_type="text/html"))
    with pytest.raises(ModelCallError, match="an HTML page, 'Welcome It works'"):
        chat_at(endpoint.url, max_retries=0).invoke(ASK)


def test_cut_reply_is_told_apart(chat_at: Open, reply_with: Callable[..., Any], answers: Any) -> None:
    """`finish_reason` arrives with the message."""
    endpoint = reply_with(answers.completion("SELECT", finish_reason="length"), "SELECT 1")
    chat = chat_at(endpoint.url)
    assert was_cut(chat.invoke(ASK))
    assert not was_cut(chat.invoke(ASK))


def test_asynchronous_callers_get_the_same(reply_with: Callable[..., Any], answers: Any) -> None:
    """`ainvoke` retries and fails as `invoke` does."""
    endpoint = reply_with(answers.failure(500), "hi", answers.failure(401))
    chat = open_chat(model="m", base_url=endpoint.url, retry_wait_s=0.0)
    assert asyncio.run(chat.ainvoke(ASK)).content == "hi"
    with pytest.raises(ModelCallError):
        asyncio.run(chat.ainvoke(ASK))


def test_key_is_nowhere_to_be_read(
    chat_at: Open, reply_with: Callable[..., Any], answers: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Not in representations, error fields, pickles or logs at any level, even if the server repeats it."""
    endpoint = reply_with(answers.failure(401, f"Incorrect API key provided: {KEY}"))
    chat = chat_at(endpoint.url)
    caplog.set_level("DEBUG")
    with pytest.raises(ModelCallError) as caught:
        chat.invoke(ASK)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.fault, again.attempts, again.status, again.endpoint) == (
        str(caught.value),
        ModelFault.UNAUTHORIZED,
        1,
        401,
        endpoint.url,
    )
    shown = "".join(traceback.format_exception(caught.value))
    for text in (repr(chat), str(chat), str(caught.value), repr(vars(caught.value)), repr(again), caplog.text, shown):
        assert KEY not in text


@pytest.mark.parametrize(
    ("sampling", "message"),
    [
        ({"temprature": 1}, "did you mean 'temperature'"),
        ({"max_token": 5}, "'max_tokens'"),
        ({"zzz": 5}, "known are temperature"),
        ({"temperature": -1}, "at least 0.0, got -1"),
        ({"top_p": 1.5}, "between 0.0 and 1.0, got 1.5"),
        ({"max_tokens": "many"}, "got 'many'"),
    ],
)
def test_bad_sampling_parameters(chat_at: Open, sampling: dict[str, Any], message: str) -> None:
    """A typing slip is found at once and answered with the nearest known name."""
    with pytest.raises(UsageError, match=message):
        chat_at("http://localhost:1/v1", sampling_parameters=sampling)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base_url": "localhost:8000"}, "not the URL of an endpoint"),
        ({"base_url": "http://me:pass@localhost/v1"}, "user name or password"),
        ({"model": " "}, "no model"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"max_retries": -1}, "max_retries"),
    ],
)
def test_bad_arguments(options: dict[str, Any], message: str) -> None:
    """Each argument that makes no sense is named before any request is made."""
    with pytest.raises(UsageError, match=message) as caught:
        open_chat(**{"model": "m", "base_url": "http://localhost:1/v1", "api_key": KEY} | options)
    assert "pass@" not in str(caught.value)


def test_openai_itself_needs_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without endpoint and key there is nobody to ask."""
    for name in ("OPENAI_API_KEY", "OPENAI_API_BASE", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UsageError, match="no API key; set OPENAI_API_KEY"):
        open_chat(model="m")
