"""A real OpenAI-compatible endpoint on a local port, whose answers a test writes down in advance."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from sql_graph import open_chat
from sql_graph.agent.http_chat import open_http_chat


@dataclass(frozen=True)
class Answer:
    """One HTTP answer."""

    status: int = 200
    body: str = ""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    cut: bool = False
    """Close the connection half-way through the body."""


def completion(text: str, *, finish_reason: str = "stop") -> Answer:
    """The answer of a chat completion."""
    message = {"role": "assistant", "content": text}
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "test-model",
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }
    return Answer(body=json.dumps(body))


def failure(status: int, message: str = "no", **headers: str) -> Answer:
    """An error as OpenAI writes it."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status=status, body=json.dumps({"error": {"message": message}}), headers=named)


class Endpoint:
    """Answers requests with `answers` in order; a request beyond them gets 418, which no test expects."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.requests: list[dict[str, Any]] = []
        self.authorizations: list[str | None] = []
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                endpoint.requests.append(json.loads(body))
                endpoint.authorizations.append(self.headers["authorization"])
                at = len(endpoint.requests) - 1
                answer = endpoint.answers[at] if at < len(endpoint.answers) else failure(418, "unexpected request")
                time.sleep(answer.delay_s)
                data = answer.body.encode()
                self.send_response(answer.status)
                self.send_header("content-type", answer.content_type)
                self.send_header("content-length", str(len(data)))
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                with contextlib.suppress(BrokenPipeError):  # a client that timed out is gone
                    self.wfile.write(data[: len(data) // 2] if answer.cut else data)
                if answer.cut:
                    self.wfile.flush()
                    self.connection.shutdown(socket.SHUT_RDWR)
                    self.close_connection = True

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    """A fresh endpoint, with no trace of the machine's own settings."""
    for name in ("OPENAI_API_KEY", "OPENAI_API_BASE", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    server = Endpoint()
    yield server
    server.close()


@pytest.fixture
def reply_with(endpoint: Endpoint) -> Callable[..., Endpoint]:
    """Give the endpoint its answers: texts become completions."""

    def prepare(*answers: Answer | str) -> Endpoint:
        endpoint.answers = [completion(answer) if isinstance(answer, str) else answer for answer in answers]
        return endpoint

    return prepare


@pytest.fixture(params=[open_chat, open_http_chat], ids=["ChatOpenAI", "HttpChat"])
def opener(request: pytest.FixtureRequest) -> Any:
    """Each function that opens a chat model behind an endpoint; both take the same keywords."""
    return request.param


@pytest.fixture
def answers() -> Any:
    """The builders of answers: `answers.completion`, `answers.failure`, `answers.Answer`."""

    class Builders:
        Answer = Answer
        completion = staticmethod(completion)
        failure = staticmethod(failure)

    return Builders
