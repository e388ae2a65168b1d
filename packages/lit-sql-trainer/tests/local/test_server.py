"""The local endpoint over real HTTP: answers like OpenAI's, refuses clearly, keeps what it sampled."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

torch = pytest.importorskip("torch", reason="needs the `cpu` dependency group")

from lit_sql_trainer.errors import ModelError, SetupError  # noqa: E402
from lit_sql_trainer.local.batcher import Batcher  # noqa: E402
from lit_sql_trainer.local.gate import MAX_BODY_BYTES  # noqa: E402
from lit_sql_trainer.local.generate import FinishReason, Reply, Request  # noqa: E402
from lit_sql_trainer.local.policy import Policy, load_policy  # noqa: E402
from lit_sql_trainer.local.server import LocalServer  # noqa: E402

CASES = tomllib.loads((Path(__file__).parent / "refusals.toml").read_text(encoding="utf-8"))["case"]
JSON = {"Content-Type": "application/json"}
HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture(scope="module")
def policy(model_folder: Path) -> Policy:
    torch.set_num_threads(1)
    return load_policy(model_folder)


@pytest.fixture(scope="module")
def server(policy: Policy) -> Iterator[LocalServer]:
    server = LocalServer(generator=policy.generator(), tokenizer=policy.tokenizer, context_tokens=256)
    server.start()
    yield server
    server.stop()


def template_ids(policy: Policy) -> list[int]:
    """The prompt of `HELLO` in tokens."""
    return policy.tokenizer.apply_chat_template(HELLO, add_generation_prompt=True, tokenize=True, return_dict=False)


def post(server: LocalServer, **body: Any) -> httpx.Response:
    request = {"model": "policy", "messages": HELLO, "max_tokens": 8, "seed": 1, **body}
    return httpx.post(f"{server.url}/chat/completions", json=request, timeout=30)


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_refusals(server: LocalServer, case: dict[str, Any]) -> None:
    """Each bad request gets its status and an error object that names the parameter and the reason."""
    response = post(server, **case["body"])
    error = response.json()["error"]
    assert response.status_code == case.get("status", 400)
    assert error["type"] == "invalid_request_error"
    assert error["param"] == case["param"]
    assert case["says"] in error["message"]


@pytest.mark.parametrize("content", [b"{", b"[1]", b"\xff\xfe", b""])
def test_a_body_that_is_no_object_is_refused(server: LocalServer, content: bytes) -> None:
    """Broken JSON and JSON of another kind are 400, never 500."""
    assert httpx.post(f"{server.url}/chat/completions", content=content).status_code == 400


ODD = tomllib.loads((Path(__file__).parent / "odd_bodies.toml").read_text(encoding="utf-8"))["case"]


@pytest.mark.parametrize("case", ODD, ids=[case["name"] for case in ODD])
def test_odd_json_is_the_clients_fault(server: LocalServer, case: dict[str, Any]) -> None:
    """Whatever JSON can spell and a request must not hold is 400 with its reason, never 500."""
    raw = case.get("raw", case.get("repeat", "") * 100_000).replace("1BIG", "1" * 400)
    response = httpx.post(f"{server.url}/chat/completions", content=raw, headers=JSON, timeout=30)
    assert (response.status_code, response.json()["error"]["type"]) == (400, "invalid_request_error")
    assert case["says"] in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:{port}"}, 200),
        ({"Host": "[::1]:{port}"}, 200),
        ({"Origin": "http://127.0.0.1:{port}"}, 200),
        ({"Content-Type": "application/json; charset=utf-8"}, 200),
        ({"Host": "rebound.example:{port}"}, 403),
        ({"Host": "127.0.0.1.rebound.example"}, 403),
        ({"Host": ""}, 403),
        ({"Host": "["}, 403),
        ({"Host": "rebound.example:{port}", "Origin": "http://rebound.example:{port}"}, 403),
        ({"Origin": "https://page.example"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Origin": "null"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
    ],
)
def test_a_web_page_cannot_ask(server: LocalServer, headers: dict[str, str], status: int) -> None:
    """Another origin, a name that was made to point here, and what a form can send are refused."""
    given = {name: value.format(port=server.port) for name, value in headers.items()}
    body = json.dumps({"model": "policy", "messages": HELLO, "max_tokens": 1})
    response = httpx.post(f"{server.url}/chat/completions", content=body, headers=JSON | given, timeout=30)
    assert response.status_code == status
    if status != 200:
        assert response.json()["error"]["type"] == "invalid_request_error"


def test_a_body_over_the_size_is_refused_before_it_is_read(server: LocalServer) -> None:
    """The announcement is enough: not a byte of the body was sent when the refusal comes."""
    with socket.create_connection(("127.0.0.1", server.port or 0), timeout=30) as connection:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {10**12}\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.recv(4096).split(b"\r\n")[0].startswith(b"HTTP/1.1 413")


def test_a_body_of_unknown_size_is_cut_off(server: LocalServer) -> None:
    """A sender that announces nothing gets no further than the same size."""

    def parts() -> Iterator[bytes]:
        for _ in range(MAX_BODY_BYTES // 2**20 + 2):
            yield b" " * 2**20

    response = httpx.post(f"{server.url}/chat/completions", content=parts(), headers=JSON, timeout=30)
    assert (response.status_code, "larger than" in response.json()["error"]["message"]) == (413, True)
    assert post(server).status_code == 200


class Held:
    """A model that answers when it is let go, and looks busy when it is told to."""

    def __init__(self, *, busy: bool) -> None:
        self.busy, self.steps, self.abort = busy, 0, False
        self.free = threading.Event()

    def __call__(self, requests: Sequence[Request]) -> list[Reply]:
        while not self.free.wait(0.02) and not self.abort:
            self.steps += self.busy
        return echo(requests)


@pytest.mark.parametrize("busy", [True, False], ids=["works", "hangs"])
def test_only_silence_ends_a_request(policy: Policy, monkeypatch: pytest.MonkeyPatch, busy: bool) -> None:
    """A client whose patience is a fraction of the answer's time gets its answer, as long as the model works."""
    monkeypatch.setattr("lit_sql_trainer.local.server.BEAT_S", 0.1)
    model = Held(busy=busy)
    server = LocalServer(generator=model, tokenizer=policy.tokenizer, context_tokens=256)  # pyright: ignore[reportArgumentType]
    server.start()
    timer = threading.Timer(6.0, model.free.set)
    timer.start()
    try:
        request = {"model": "policy", "messages": HELLO, "max_tokens": 8, "seed": 65}
        if busy:
            answer = httpx.post(f"{server.url}/chat/completions", json=request, timeout=2.5)
            assert answer.json()["choices"][0]["token_ids"] == [65]
            assert httpx.get(server.url.replace("/v1", "/health")).json()["steps"] == model.steps > 0
        else:
            with pytest.raises(httpx.ReadTimeout):
                httpx.post(f"{server.url}/chat/completions", json=request, timeout=2.5)
    finally:
        timer.cancel()
        server.stop()


def test_a_failure_after_the_first_sign_of_life_is_an_error_object(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The status is sent by then; the body says what went wrong in the shape that clients know."""
    monkeypatch.setattr("lit_sql_trainer.local.server.BEAT_S", 0.05)

    class Failing(Held):
        def __call__(self, requests: Sequence[Request]) -> list[Reply]:
            self.free.wait(0.5)
            raise RuntimeError("out of memory")

    server = LocalServer(generator=Failing(busy=True), tokenizer=policy.tokenizer, context_tokens=256)  # pyright: ignore[reportArgumentType]
    server.start()
    try:
        answer = post(server).json()
    finally:
        server.stop()
    assert answer["error"]["type"] == "server_error"
    assert "out of memory" in answer["error"]["message"]


def ask_until_refused(server: LocalServer) -> list[int]:
    """A client that tries again after a failure: the status of each answer, until nobody answers."""
    statuses: list[int] = []
    with contextlib.suppress(httpx.HTTPError):
        while True:
            statuses.append(post(server).status_code)
    return statuses


def test_clients_that_try_again_do_not_outlive_the_server(policy: Policy, capfd: pytest.CaptureFixture[str]) -> None:
    """Each request that came before the end is answered, later ones find nobody, and no traceback is printed."""

    class GivenUp(Held):
        def __call__(self, requests: Sequence[Request]) -> list[Reply]:
            super().__call__(requests)
            raise RuntimeError("given up")

    model = GivenUp(busy=True)
    server = LocalServer(generator=model, tokenizer=policy.tokenizer, context_tokens=256)  # pyright: ignore[reportArgumentType]
    server.start()
    with ThreadPoolExecutor(8) as pool:
        clients = [pool.submit(ask_until_refused, server) for _ in range(8)]
        while not model.steps:
            time.sleep(0.01)
        server.stop()
        answers = [status for client in clients for status in client.result(30)]
    assert answers
    assert set(answers) == {500}
    assert "Traceback" not in capfd.readouterr().err


def test_stopping_waits_for_no_reply(policy: Policy) -> None:
    """A request that the model works on gets a failure, and the server is gone."""
    before = set(threading.enumerate())
    model = Held(busy=True)
    server = LocalServer(generator=model, tokenizer=policy.tokenizer, context_tokens=256)  # pyright: ignore[reportArgumentType]
    server.start()
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(post, server)
        while not model.steps:
            time.sleep(0.01)
        server.stop()
        with contextlib.suppress(httpx.HTTPError):  # it depends on the moment whether the answer was still sent
            asked.result(30)
    assert not [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("local-")]


def test_an_answer_has_the_tokens_it_was_made_of(server: LocalServer, policy: Policy) -> None:
    """Prompt and reply ids are those of the template and of the text; log-probabilities line up; usage counts them."""
    answer = post(server, logprobs=True).json()
    (choice,) = answer["choices"]
    expected = template_ids(policy)
    assert answer["prompt_token_ids"] == expected
    assert choice["message"] == {"role": "assistant", "content": policy.decode(choice["token_ids"])}
    assert len(choice["logprobs"]["content"]) == len(choice["token_ids"]) == answer["usage"]["completion_tokens"]
    assert answer["usage"]["prompt_tokens"] == len(expected)
    sampled = server.take(answer["id"])
    assert sampled is not None
    assert (list(sampled.prompt_ids), list(sampled.token_ids)) == (expected, choice["token_ids"])
    assert list(sampled.logprobs) == [token["logprob"] for token in choice["logprobs"]["content"]]
    assert server.take(answer["id"]) is None


def test_a_seed_repeats_a_reply_and_another_does_not(server: LocalServer) -> None:
    """Seeded requests repeat; without a seed, replies differ."""

    def ids(**body: Any) -> list[int]:
        return post(server, max_tokens=20, **body).json()["choices"][0]["token_ids"]

    assert ids(seed=5) == ids(seed=5) != ids(seed=6)
    assert ids(seed=None) != ids(seed=None)
    assert ids(seed=1, temperature=0) == ids(seed=2, temperature=0)


def test_stop_is_cut_from_the_text_only(server: LocalServer, policy: Policy) -> None:
    """The text ends before the stop string; the token ids include it, since they were sampled."""
    whole = post(server, max_tokens=30, seed=3).json()["choices"][0]["message"]["content"]
    stop = next(character for character in whole[4:] if character.isascii() and character.isprintable())
    (choice,) = post(server, max_tokens=30, seed=3, stop=[stop]).json()["choices"]
    assert choice["finish_reason"] == "stop"
    assert choice["message"]["content"] == whole[: whole.index(stop)]
    assert policy.decode(choice["token_ids"]).endswith(stop)


def test_text_parts_and_the_developer_role_are_understood(server: LocalServer) -> None:
    """A list of text parts is their concatenation; `developer` is the newer name of `system`."""
    parts = [
        {"role": "developer", "content": "a"},
        {"role": "user", "content": [{"type": "text", "text": "b"}, {"type": "text", "text": "c"}]},
    ]
    plain = [{"role": "system", "content": "a"}, {"role": "user", "content": "bc"}]
    assert (
        post(server, messages=parts).json()["prompt_token_ids"]
        == post(server, messages=plain).json()["prompt_token_ids"]
    )


def test_models_and_health(server: LocalServer) -> None:
    """The list names the one model; health answers without the model."""
    assert httpx.get(f"{server.url}/models").json()["data"][0]["id"] == "policy"
    assert httpx.get(server.url.replace("/v1", "/health")).json()["status"] == "ok"


def test_many_clients_get_what_each_would_get_alone(server: LocalServer) -> None:
    """Thirty concurrent requests give the replies that the same requests give one after the other."""

    def ids(seed: int) -> list[int]:
        return post(server, seed=seed, max_tokens=5 + seed % 7).json()["choices"][0]["token_ids"]

    alone = [ids(seed) for seed in range(30)]
    batches = server.batcher.counters.batches
    with ThreadPoolExecutor(10) as pool:
        assert list(pool.map(ids, range(30))) == alone
    assert server.batcher.counters.batches - batches < 30


def test_token_ids_can_be_on_request_only(policy: Policy) -> None:
    """Where the library's proxy asks for them, the server can wait to be asked."""
    server = LocalServer(
        generator=policy.generator(), tokenizer=policy.tokenizer, context_tokens=256, always_return_token_ids=False
    )
    server.start()
    try:
        assert "prompt_token_ids" not in post(server).json()
        assert "token_ids" in post(server, return_token_ids=True).json()["choices"][0]
    finally:
        server.stop()
        server.stop()


def test_a_port_in_use_is_one_clear_error(server: LocalServer, policy: Policy) -> None:
    """A second server on the same port says so before it starts."""
    second = LocalServer(generator=policy.generator(), tokenizer=policy.tokenizer, context_tokens=256, port=server.port)
    with pytest.raises(SetupError, match=str(server.port)):
        second.start()


def test_a_tokenizer_without_template_is_one_clear_error(policy: Policy) -> None:
    """A base model cannot serve chats; the error says what to add."""
    plain = type("Plain", (), {"chat_template": None})()
    with pytest.raises(ModelError, match="chat template"):
        LocalServer(generator=policy.generator(), tokenizer=plain, context_tokens=256)


class LikeTransformers5:
    """A tokenizer whose chat template gives a dictionary unless it is asked not to, as transformers 5 does."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def apply_chat_template(self, messages: Any, **options: Any) -> Any:
        """As transformers 5: a dictionary by default."""
        return self.inner.apply_chat_template(messages, **{"return_dict": True, **options})


def test_a_template_that_gives_a_dictionary_makes_the_same_prompt(policy: Policy) -> None:
    """With transformers 5's default the prompt is still its token ids, not the names of a dictionary's fields."""
    tokenizer = LikeTransformers5(policy.tokenizer)
    server = LocalServer(generator=policy.generator(), tokenizer=tokenizer, context_tokens=256)  # pyright: ignore[reportArgumentType]
    server.start()
    try:
        assert post(server).json()["prompt_token_ids"] == template_ids(policy)
    finally:
        server.stop()


def echo(requests: Sequence[Request]) -> list[Reply]:
    """Replies with the seed as the only token."""
    return [Reply(token_ids=(r.seed or 0,), logprobs=(0.0,), finish=FinishReason.STOP) for r in requests]


def test_a_group_is_sampled_with_its_first_request() -> None:
    """After one request of an announced group, the others are answered without the model; strangers are not."""
    asked: list[int] = []

    def sample(requests: Sequence[Request]) -> list[Reply]:
        asked.append(len(requests))
        return echo(requests)

    batcher = Batcher(sample, window_s=0.0)
    batcher.start()
    batcher.expect([[10, 11, 12]])

    def token(seed: int, prompt: int = 1) -> int:
        return batcher.submit(Request(prompt_ids=(prompt,), max_tokens=3, seed=seed)).result(5).token_ids[0]

    assert [token(11), token(10), token(12), token(13)] == [11, 10, 12, 13]
    assert asked == [3, 1]
    assert token(12, prompt=2) == 12  # a later turn of the same rollout: its own request, nobody beside it
    assert asked == [3, 1, 1]
    batcher.stop()


def test_forgetting_drops_what_the_old_weights_said() -> None:
    """After `forget`, a reply that was sampled ahead is sampled again."""
    asked: list[int] = []

    def sample(requests: Sequence[Request]) -> list[Reply]:
        asked.append(len(requests))
        return echo(requests)

    batcher = Batcher(sample, window_s=0.0)
    batcher.start()
    batcher.expect([[1, 2]])
    batcher.submit(Request(prompt_ids=(1,), max_tokens=3, seed=1)).result(5)
    batcher.forget()
    batcher.submit(Request(prompt_ids=(1,), max_tokens=3, seed=2)).result(5)
    batcher.stop()
    assert asked == [2, 1]


def test_a_failing_model_fails_its_callers_only() -> None:
    """Every request of the batch gets the reason, and the next batch is served."""
    broken = threading.Event()
    broken.set()

    def sample(requests: Sequence[Request]) -> list[Reply]:
        if broken.is_set():
            raise RuntimeError("out of memory")
        return echo(requests)

    batcher = Batcher(sample)
    batcher.start()
    with pytest.raises(RuntimeError, match="out of memory"):
        batcher.submit(Request(prompt_ids=(1,), max_tokens=1, seed=1)).result(5)
    broken.clear()
    assert batcher.submit(Request(prompt_ids=(1,), max_tokens=1, seed=4)).result(5).token_ids == (4,)
    batcher.stop()


def test_a_request_after_the_end_fails_at_once() -> None:
    """Nobody would answer it; started again, the batcher serves."""
    batcher = Batcher(echo)
    batcher.start()
    batcher.stop()
    with pytest.raises(RuntimeError, match="the server has stopped"):
        batcher.submit(Request(prompt_ids=(1,), max_tokens=1, seed=1)).result(5)
    batcher.start()
    assert batcher.submit(Request(prompt_ids=(1,), max_tokens=1, seed=4)).result(5).token_ids == (4,)
    batcher.stop()
