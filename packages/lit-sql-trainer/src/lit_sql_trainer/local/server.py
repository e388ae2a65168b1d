"""An OpenAI-compatible endpoint around the very model that is being trained, in this process.

There is no copy of the weights: an update is visible to the next request. Requests that arrive together are decoded
together. What was sampled for each reply, token by token with its log-probability, stays here under the reply's id
until the trainer takes it, so nothing is ever tokenised again.

Listens on loopback only. Chat templates and token ids are the tokenizer's; the token ids of prompt and reply are part
of every answer (`prompt_token_ids`, `choices[].token_ids`), because the library's tracer reads them from the answer
and, without its proxy in between, nobody asks for them.

A slow machine is no dead one. While a client waits and the model works, on this reply or on those before it, the
client gets a space every second, which JSON allows before a value; so its read timeout measures silence, not work.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import uvicorn
from fastapi import FastAPI
from fastapi import Request as HttpRequest
from fastapi.responses import JSONResponse, Response, StreamingResponse

from lit_sql_trainer.errors import ModelError, SetupError
from lit_sql_trainer.local.batcher import Batcher
from lit_sql_trainer.local.causal import Tokenizer
from lit_sql_trainer.local.gate import Gate
from lit_sql_trainer.local.generate import FinishReason, Generator, Reply, Request
from lit_sql_trainer.local.protocol import ChatRequest, RequestError, parse_chat_request, read_json
from lit_sql_trainer.machine.environment import LOOPBACK, check_port, free_port
from lit_sql_trainer.rollouts.episodes import Sampled

MODEL_NAME = "policy"
BEAT_S = 1.0
"""How often a waiting client gets a sign of life."""
GRACE_S = 3
"""How long the failures of what was given up may take to reach their clients."""
_LEDGER_LIMIT = 50_000  # replies remembered; a step of training takes out far fewer


@dataclass(slots=True, kw_only=True)
class LocalServer:
    """Serves one model. `start` it, use `url`, `stop` it; hold `batcher.weights` while changing the model."""

    generator: Generator
    tokenizer: Tokenizer
    context_tokens: int
    max_new_tokens: int = 256
    """Reply length of a request that names none, as far as the context allows."""
    max_batch: int = 128
    batch_window_s: float = 0.004
    port: int | None = None
    """None takes a free one."""
    name: str = MODEL_NAME
    always_return_token_ids: bool = True
    """False returns them only to requests that ask with `return_token_ids`."""
    batcher: Batcher = field(init=False)
    _ledger: OrderedDict[str, Sampled] = field(init=False, default_factory=OrderedDict[str, Sampled])
    _tokenizing: threading.Lock = field(init=False, default_factory=threading.Lock)
    _web: uvicorn.Server | None = field(init=False, default=None)
    _thread: threading.Thread | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.batcher = Batcher(self.generator, max_batch=self.max_batch, window_s=self.batch_window_s)
        if not getattr(self.tokenizer, "chat_template", None):
            raise ModelError(
                "the tokenizer has no chat template, so messages cannot become a prompt; use an instruction-tuned "
                "model, or add `chat_template` to tokenizer_config.json"
            )

    @property
    def url(self) -> str:
        """Base URL for OpenAI clients."""
        return f"http://{LOOPBACK}:{self.port}/v1"

    def start(self, *, timeout_s: float = 20.0) -> str:
        """Listen and decode in two threads of this process; the base URL.

        Raises:
            SetupError: the port is taken, or the server does not come up in time.
        """
        self.port = free_port() if self.port is None else check_port(self.port)
        self.generator.abort = False
        config = uvicorn.Config(
            self.app(),
            host=LOOPBACK,
            port=self.port,
            log_level="error",
            access_log=False,
            ws="none",
            lifespan="off",
            timeout_graceful_shutdown=GRACE_S,
        )
        self._web = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._web.run, name="local-server", daemon=True)
        self._thread.start()
        self.batcher.start()
        deadline = time.monotonic() + timeout_s
        while not self._web.started:
            if time.monotonic() > deadline or not self._thread.is_alive():
                raise SetupError(f"the local server did not start on port {self.port}; try another port")
            time.sleep(0.01)
        return self.url

    def stop(self) -> None:
        """Give up what is being decoded and leave the port. Safe to call twice."""
        if self._web is not None and self._thread is not None:
            self.generator.abort = True
            self.batcher.stop()
            self._web.should_exit = True
            self._thread.join(timeout=GRACE_S + 2.0)
            self._web = self._thread = None

    def take(self, response_id: str) -> Sampled | None:
        """What was sampled for a reply; None when it is unknown or was taken before."""
        return self._ledger.pop(response_id, None)

    def forget(self) -> None:
        """Drop what nobody took: calls of untrained nodes, replies of earlier weights."""
        self._ledger.clear()
        self.batcher.forget()

    def app(self, *, any_host: bool = False) -> Gate:
        """The web application, for a server of one's own or a test client.

        Args:
            any_host: for a server that listens on more than the loopback interface; see `Gate`.
        """
        app = FastAPI(title="lit-sql local server", docs_url=None, redoc_url=None, openapi_url=None)
        app.post("/v1/chat/completions", response_model=None)(self._chat)
        app.get("/v1/models")(self._models)
        app.get("/health")(self._health)
        return Gate(app=app, any_host=any_host)

    async def _health(self) -> dict[str, object]:
        return {"status": "ok", "model": self.name, "steps": self.generator.steps}

    async def _models(self) -> dict[str, object]:
        return {"object": "list", "data": [{"id": self.name, "object": "model", "created": 0, "owned_by": "local"}]}

    async def _chat(self, http: HttpRequest) -> Response:
        try:
            chat, request = await asyncio.to_thread(self._understood, await http.body())
        except RequestError as error:
            return JSONResponse(error.body(), status_code=error.status)
        reply = asyncio.wrap_future(self.batcher.submit(request))
        await asyncio.wait({reply}, timeout=BEAT_S)
        if not reply.done():
            return StreamingResponse(self._alive(chat, request, reply), media_type="application/json")
        try:
            return JSONResponse(await asyncio.to_thread(self._answer, chat, request, await reply))
        except RuntimeError as error:
            failure = _failed(error)
            return JSONResponse(failure.body(), status_code=failure.status)

    async def _alive(self, chat: ChatRequest, request: Request, reply: asyncio.Future[Reply]) -> AsyncIterator[str]:
        """A space for each beat in which the model worked, then the answer; a failure is its error object."""
        seen = -1
        while not reply.done():
            if self.generator.steps != seen:
                seen = self.generator.steps
                yield " "
            await asyncio.wait({reply}, timeout=BEAT_S)
        try:
            answer = await asyncio.to_thread(self._answer, chat, request, await reply)
        except RuntimeError as error:
            answer = _failed(error).body()
        yield json.dumps(answer)

    def _understood(self, body: bytes) -> tuple[ChatRequest, Request]:
        """A request and what it asks of the model; called in a thread, because a long prompt takes a while."""
        chat = parse_chat_request(read_json(body), model=self.name)
        messages = [message.to_template() for message in chat.messages]
        with self._tokenizing:
            prompt_ids = self.tokenizer.apply_chat_template(
                messages, add_generation_prompt=True, tokenize=True, return_dict=False
            )
        room = self.context_tokens - len(prompt_ids)
        wanted = chat.reply_tokens or min(self.max_new_tokens, max(room, 1))
        if wanted > room:
            raise RequestError(
                400,
                f"this model's maximum context length is {self.context_tokens} tokens, but the request needs "
                f"{len(prompt_ids) + wanted} ({len(prompt_ids)} in the messages, {wanted} for the reply); shorten it",
                param="messages",
                code="context_length_exceeded",
            )
        request = Request(
            prompt_ids=tuple(prompt_ids),
            max_tokens=wanted,
            temperature=chat.temperature,
            top_p=chat.top_p,
            seed=chat.seed,
            stop=tuple(chat.stop),
        )
        return chat, request

    def _answer(self, chat: ChatRequest, request: Request, reply: Reply) -> dict[str, object]:
        response_id = f"chatcmpl-{uuid.uuid4().hex}"
        self._remember(
            response_id, Sampled(prompt_ids=request.prompt_ids, token_ids=reply.token_ids, logprobs=reply.logprobs)
        )
        choice: dict[str, object] = {
            "index": 0,
            "message": {"role": "assistant", "content": self._text(request, reply)},
            "finish_reason": reply.finish.value,
            "logprobs": self._logprobs(reply) if chat.logprobs else None,
        }
        answer: dict[str, object] = {
            "id": response_id,
            "object": "chat.completion",
            "created": int(time.time()),
            "model": self.name,
            "choices": [choice],
            "usage": {
                "prompt_tokens": len(request.prompt_ids),
                "completion_tokens": len(reply.token_ids),
                "total_tokens": len(request.prompt_ids) + len(reply.token_ids),
            },
        }
        if chat.return_token_ids or self.always_return_token_ids:
            answer["prompt_token_ids"] = list(request.prompt_ids)
            choice["token_ids"] = list(reply.token_ids)
        return answer

    def _remember(self, response_id: str, sampled: Sampled) -> None:
        self._ledger[response_id] = sampled
        while len(self._ledger) > _LEDGER_LIMIT:
            self._ledger.popitem(last=False)

    def _text(self, request: Request, reply: Reply) -> str:
        with self._tokenizing:
            text = str(self.tokenizer.decode(list(reply.token_ids), skip_special_tokens=True))
        cuts = [place for place in (text.find(stop) for stop in request.stop) if place >= 0]
        return text[: min(cuts)] if cuts and reply.finish is FinishReason.STOP else text

    def _logprobs(self, reply: Reply) -> dict[str, object]:
        with self._tokenizing:
            tokens = [str(self.tokenizer.decode([token])) for token in reply.token_ids]
        content = [
            {"token": token, "logprob": logprob, "bytes": list(token.encode()), "top_logprobs": []}
            for token, logprob in zip(tokens, reply.logprobs, strict=True)
        ]
        return {"content": content, "refusal": None}


def _failed(error: RuntimeError) -> RequestError:
    """What a client is told when the model fails: torch reports its failures, out of memory included, so."""
    return RequestError(500, f"decoding failed: {error}")
