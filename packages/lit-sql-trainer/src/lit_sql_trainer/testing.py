"""Public doubles: a scripted endpoint, and single rollouts through the real library without a trainer.

`ScriptedEndpoint` is OpenAI-compatible and gives the replies and failures of its script. With it the whole pipeline
(agent, runners, tracer, adapter, algorithm) runs without a model. Token ids are the characters' code points, so a
triplet is readable, and every request is recorded. `play_rollout` returns what one rollout leaves behind.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import agentlightning as agl  # pyright: ignore[reportMissingTypeStubs]  typed inline, but without a marker

Json = dict[str, Any]
"""A decoded JSON object."""
Reply = Callable[[Json], str]
"""From a request body to the reply's text."""


class Fault(StrEnum):
    """How a request can fail."""

    SERVER_ERROR = "server_error"
    """HTTP 500."""
    TIMEOUT = "timeout"
    """No answer for as long as the endpoint is open."""
    CUT = "cut"
    """The connection ends before an answer."""


class ScriptedEndpoint:
    """Serves on the loopback interface while it is open, one thread per request.

    Args:
        reply: the text of each reply, from the request.
        fault: whether the n-th request (from 1) fails, and how.
        ids: whether replies carry token ids, as training needs.
    """

    def __init__(
        self, reply: Reply, *, fault: Callable[[int], Fault | None] = lambda _: None, ids: bool = True
    ) -> None:
        self.reply = reply
        self.fault = fault
        self.ids = ids
        self.requests: list[Json] = []
        """Bodies, in the order of arrival; those that failed included."""
        self.paths: list[str] = []
        """Of the same requests."""
        self.faults = 0
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def url(self) -> str:
        """What a client takes as its base URL."""
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> ScriptedEndpoint:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    def take(self, path: str, body: Json) -> Fault | None:
        """Remember a request and say how it shall fail."""
        with self._lock:
            self.requests.append(body)
            self.paths.append(path)
            fault = self.fault(len(self.requests))
            self.faults += fault is not None
            return fault

    def completion(self, body: Json) -> Json:
        """The answer to a request, in OpenAI's form."""
        text = self.reply(body)
        prompt = "\n".join(str(message["content"]) for message in body["messages"])
        choice: Json = {
            "index": 0,
            "message": {"role": "assistant", "content": text},
            "finish_reason": "stop",
        }
        answer: Json = {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "object": "chat.completion",
            "created": 1,
            "model": body["model"],
            "choices": [choice],
            "usage": {
                "prompt_tokens": len(prompt),
                "completion_tokens": len(text),
                "total_tokens": len(prompt) + len(text),
            },
        }
        if self.ids:
            answer["prompt_token_ids"] = [ord(letter) for letter in prompt]
            choice["token_ids"] = [ord(letter) for letter in text]
        return answer

    def wait_closing(self) -> None:
        """Block until the endpoint closes."""
        self._closing.wait()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    """Of connections not yet accepted: the library's 5 lose some when many workers knock at once."""


def _handler(endpoint: ScriptedEndpoint) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # head and body are two writes: the second would wait for 40 ms

        def do_GET(self) -> None:
            self._send(200, {"object": "list", "data": [{"id": "scripted", "object": "model"}]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            match endpoint.take(self.path, body):
                case Fault.SERVER_ERROR:
                    self._send(500, {"error": {"message": "planted", "type": "server_error"}})
                case Fault.CUT:
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                case Fault.TIMEOUT:
                    endpoint.wait_closing()
                    self.close_connection = True
                case _:
                    self._send(200, endpoint.completion(body))

        def _send(self, status: int, value: Json) -> None:
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    return Handler


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayedRollout:
    """What one rollout left in the library's store."""

    spans: Sequence[agl.Span]
    status: str
    """The library's word: `succeeded` or `failed`."""
    error: BaseException | None
    """What ended a failed rollout."""

    def triplets(self, active_agent: str | None = None) -> list[agl.Triplet]:
        """The model calls that would be trained, by the adapter that training uses."""
        from lit_sql_trainer.profile.profile import TRAINED_NODES  # late: the library takes a quarter of a minute
        from lit_sql_trainer.rollouts.trainer import make_adapter

        return make_adapter(active_agent or TRAINED_NODES).adapt(list(self.spans))

    @property
    def rewards(self) -> list[float]:
        """Every reward in the spans."""
        import agentlightning as agl  # pyright: ignore[reportMissingTypeStubs]  late, as above

        found = [agl.get_reward_value(span) for span in self.spans]
        return [value for value in found if value is not None]

    @property
    def text(self) -> str:
        """All that the spans hold."""
        return "\n".join(span.model_dump_json() for span in self.spans)


def play_rollout(
    agent: agl.LitAgent[Json], row: Json, llm: agl.LLM, *, mode: str = "train", seed: int | None = None
) -> PlayedRollout:
    """Play one rollout through the library's runner, tracer and an in-memory store, in this process.

    Args:
        agent: a `LitSQLAgent`, or any agent that takes `main_llm`.
        row: one task, as `SpiderTask.to_row` gives it.
        llm: the model's address and sampling parameters.
        mode: `train`, `val` or `test`, as the library names them.
        seed: the sampling seed that an algorithm would give; None gives none.
    """
    return asyncio.run(_play(agent, row, llm, mode, seed))


async def _play(agent: agl.LitAgent[Json], row: Json, llm: agl.LLM, mode: str, seed: int | None) -> PlayedRollout:
    import agentlightning as agl  # pyright: ignore[reportMissingTypeStubs]  late, as above

    from lit_sql_trainer.rollouts.wire import MODEL_RESOURCE, SAMPLING_SEED

    store = agl.InMemoryLightningStore()
    runner = agl.LitAgentRunner[Json](agl.AgentOpsTracer())
    error: BaseException | None = None
    with runner.run_context(agent=agent, store=store):
        resources = await store.add_resources({MODEL_RESOURCE: llm})
        await store.enqueue_rollout(
            input=row,
            mode=mode,  # pyright: ignore[reportArgumentType]  the library's own literal
            resources_id=resources.resources_id,
            metadata={} if seed is None else {SAMPLING_SEED: seed, "step": 3, "sample": 1},
        )
        attempted = await store.dequeue_rollout(worker_id="stage")
        assert attempted is not None  # it was put in just now
        try:
            await runner._step_impl(attempted, raise_on_exception=True)  # pyright: ignore[reportPrivateUsage]  the only way to one
        except Exception as caught:  # noqa: BLE001  what it is, is for the caller to say
            error = caught
    rollout = await store.get_rollout_by_id(attempted.rollout_id)
    assert rollout is not None
    spans = tuple(await store.query_spans(attempted.rollout_id, attempt_id="latest"))
    return PlayedRollout(spans=spans, status=rollout.status, error=error)
