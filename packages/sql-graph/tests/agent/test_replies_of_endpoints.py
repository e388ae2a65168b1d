"""Whatever an endpoint answers, a call ends with a reply or a `ModelCallError`: in time, and within a size."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
import tomllib
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage

from sql_graph import CheckMode, ModelCallError, ModelFault, StopReason, TableDatabase, UsageError, answer
from sql_graph.parse import message_text

ASK = [HumanMessage("hello")]
CASES = tomllib.loads((Path(__file__).parent / "failures.toml").read_text())
PASSING = [case for case in CASES["case"] if case["requests"] == 3]
GOOD: dict[str, Any] = {
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "SELECT 1"}}],
    "usage": {"prompt_tokens": 4, "completion_tokens": 3, "total_tokens": 7},
}
Talk = Callable[[socket.socket], None]
Open = Callable[..., Any]


def cases(kind: str) -> Any:
    """One parameter a case of `failures.toml`."""
    return pytest.mark.parametrize("case", CASES[kind], ids=[case["name"] for case in CASES[kind]])


def body_of(case: dict[str, Any]) -> str:
    """The body of a case, a choice standing in a good completion."""
    if "body" in case:
        return case["body"]
    return json.dumps(GOOD | {"choices": ["CHOICE"]}).replace('"CHOICE"', case["choice"].replace("\n", "\\n"))


@pytest.fixture
def open_at(opener: Open) -> Open:
    """Opens each chat model of ours at a URL; it waits for nothing between requests."""

    def opened(url: str, **options: Any) -> Any:
        usual = {"model": "m", "base_url": url, "api_key": "k", "retry_wait_s": 0.0, "timeout_s": 20}
        return opener(**usual | options)

    return opened


class Wire:
    """A TCP server that answers the n-th connection as the n-th talk says, the last one again and again."""

    def __init__(self) -> None:
        self.talks: list[Talk] = []
        self.connections = 0
        self.requests: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"
        threading.Thread(target=self._accept, daemon=True).start()

    def answers(self, *talks: Talk | bytes) -> str:
        """Answer so; bytes are sent as they are. Returns the URL."""
        self.talks = [_sends(talk) if isinstance(talk, bytes) else talk for talk in talks]
        return self.url

    def close(self) -> None:
        """Stop listening."""
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                talk = self.talks[min(self.connections, len(self.talks) - 1)]
                self.connections += 1
                threading.Thread(target=self._talk, args=(connection, talk), daemon=True).start()

    def _talk(self, connection: socket.socket, talk: Talk) -> None:
        with closing(connection), suppress(OSError):
            self.requests.append(_read_request(connection))
            talk(connection)


def _read_request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(1 << 16)
    head, _, body = data.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.lower().splitlines() if line.startswith(b"content-length:")), 0)
    while len(body) < length:
        body += connection.recv(1 << 16)
    return head


def _sends(data: bytes) -> Talk:
    return lambda connection: connection.sendall(data)


def drips(data: bytes, then: bytes) -> Talk:
    """Send `data`, then `then` every 20 ms for as long as somebody listens."""

    def talk(connection: socket.socket) -> None:
        connection.sendall(data)
        while True:
            connection.sendall(then)
            time.sleep(0.02)

    return talk


def pours(data: bytes, then: bytes) -> Talk:
    """Send `data`, then `then` without a pause for as long as somebody listens."""

    def talk(connection: socket.socket) -> None:
        connection.sendall(data)
        while True:
            connection.sendall(then)

    return talk


def http(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """An HTTP answer."""
    lines = [f"HTTP/1.1 {status}", "content-type: application/json", f"content-length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@pytest.fixture
def wire() -> Iterator[Wire]:
    """A server without answers yet."""
    server = Wire()
    yield server
    server.close()


@cases("case")
def test_failure_in_a_successful_answer(
    open_at: Open, case: dict[str, Any], reply_with: Callable[..., Any], answers: Any
) -> None:
    """Each way of failing with status 200 is its fault, tried again where that may help, and never an empty reply."""
    endpoint = reply_with(*[answers.Answer(body=body_of(case))] * 3)
    with pytest.raises(ModelCallError) as caught:
        open_at(endpoint.url).invoke(ASK)
    error = caught.value
    assert (error.fault, error.attempts) == (ModelFault(case["fault"]), case["requests"])
    assert error.status == case.get("status")
    assert case["says"] in str(error)
    assert len(endpoint.requests) == case["requests"]


@cases("read")
def test_odd_answer_is_read(open_at: Open, case: dict[str, Any], reply_with: Callable[..., Any], answers: Any) -> None:
    """What is merely odd is a reply, in characters that any encoding can write."""
    endpoint = reply_with(answers.Answer(body=body_of(case)))
    message = open_at(endpoint.url).invoke(ASK)
    assert (message.type, message_text(message)) == ("ai", case["text"])


@pytest.mark.parametrize("case", PASSING, ids=[case["name"] for case in PASSING])
def test_failure_is_overcome(open_at: Open, case: dict[str, Any], reply_with: Callable[..., Any], answers: Any) -> None:
    """A failure in a successful answer that may pass is tried again, and the agent goes on."""
    endpoint = reply_with(answers.Answer(body=body_of(case)), "```sql\nSELECT 1\n```")
    found = answer(
        "one?", database=TableDatabase({"SELECT 1": [{"1": 1}]}), chat=open_at(endpoint.url), check=CheckMode.RULES
    )
    assert (found.sql, found.stop) == ("SELECT 1", StopReason.APPROVED)


@pytest.mark.parametrize(
    "body",
    [
        b"\xff\xfe\x00garbage",
        json.dumps(GOOD).encode().replace(b"SELECT", b"caf\xe9"),
        b'{"choices": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"choices": [{"message": {"content": "x", "a": ' + b'{"a": ' * 900 + b"1" + b"}" * 900 + b"}}]}",
        b'{"created": ' + b"9" * 100_000 + b', "choices": []}',
        b"",
        b"null",
        b"NaN",
        b"data: {}\n\n",
    ],
    ids=["no text", "latin-1", "deep list", "deep object", "long number", "empty", "null", "nan", "event stream"],
)
def test_body_that_is_no_completion(open_at: Open, wire: Wire, body: bytes) -> None:
    """Bytes that are no text, JSON that is too deep or has too long a number: one typed fault, or the reply."""
    try:
        assert message_text(open_at(wire.answers(http(body))).invoke(ASK)) == "x"
    except ModelCallError as error:
        assert error.fault is ModelFault.NOT_A_CHAT_ANSWER
        assert str(error).encode()


@pytest.mark.parametrize(
    "talk",
    [
        drips(b"", b"H"),
        drips(b"HTTP/1.1 200 OK\r\n", b"x: y\r\n"),
        drips(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n", b" "),
        drips(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        drips(b"HTTP/1.1 200 OK\r\n\r\n{", b" "),
        drips(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
        lambda connection: time.sleep(60),
    ],
    ids=["status line", "headers", "body", "chunks", "body without length", "continue", "silence"],
)
def test_server_that_drips(open_at: Open, wire: Wire, talk: Talk) -> None:
    """A request is over at its timeout, however often a little more arrives."""
    with pytest.raises(ModelCallError) as caught:
        open_at(wire.answers(talk), timeout_s=0.5, max_retries=0).invoke(ASK)
    assert caught.value.fault in (ModelFault.TIMEOUT, ModelFault.UNREACHABLE)


def test_silence_is_shorter_than_the_whole(open_at: Open, wire: Wire) -> None:
    """With `silence_s`, a server that keeps sending may take longer than one that says nothing."""
    body = json.dumps(GOOD).encode()

    def slowly(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n")
        for byte in body:
            connection.sendall(bytes([byte]))
            time.sleep(0.005)

    assert open_at(wire.answers(slowly), silence_s=0.6, timeout_s=30).invoke(ASK).content == "SELECT 1"
    with pytest.raises(ModelCallError, match="did not answer in time"):
        open_at(wire.answers(lambda _: time.sleep(60)), silence_s=0.3, timeout_s=600, max_retries=0).invoke(ASK)


ZEROS = b'{"choices": [], "x": "' + b"0" * 20_000_000 + b'"}'


@pytest.mark.parametrize(
    "talk",
    [
        http(b"[" + b"1," * 2_000_000 + b"1]"),
        pours(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"10000\r\n" + b" " * 0x10000 + b"\r\n"),
        pours(b"HTTP/1.1 200 OK\r\ncontent-length: 9999999999\r\n\r\n", b" " * 0x10000),
        pours(b"HTTP/1.1 500 No\r\n\r\n", b"x" * 0x10000),
        http(gzip.compress(ZEROS), "content-encoding: gzip"),
        http(zlib.compress(ZEROS), "content-encoding: deflate"),
        http(gzip.compress(gzip.compress(ZEROS)), "content-encoding: gzip, gzip"),
        http(gzip.compress(b" " * 400_000) * 3, "content-encoding: gzip"),
    ],
    ids=["large", "endless chunks", "gigabytes", "endless error", "gzip", "deflate", "gzip twice", "members"],
)
def test_answer_beyond_the_size(open_at: Open, wire: Wire, talk: Talk | bytes) -> None:
    """No more than `max_answer_bytes` is read or made of what is read."""
    with pytest.raises(ModelCallError, match="more than 1000000 bytes") as caught:
        open_at(wire.answers(talk), max_answer_bytes=1_000_000).invoke(ASK)
    assert (caught.value.fault, caught.value.attempts) == (ModelFault.TOO_LARGE, 1)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "identity", ""])
def test_compressed_answer_is_read(open_at: Open, wire: Wire, encoding: str) -> None:
    """Gateways compress, and may send deflate without its header."""
    body = json.dumps(GOOD).encode()
    raw = zlib.compressobj(wbits=-15)
    sent = {"gzip": gzip.compress(body), "deflate": raw.compress(body) + raw.flush()}.get(encoding, body)
    url = wire.answers(http(sent, f"content-encoding: {encoding}"))
    assert open_at(url).invoke(ASK).content == "SELECT 1"


@pytest.mark.parametrize(
    ("talk", "fault"),
    [
        (http(json.dumps(GOOD).encode(), "content-encoding: br"), ModelFault.NOT_A_CHAT_ANSWER),
        (http(b"no gzip", "content-encoding: gzip"), ModelFault.NOT_A_CHAT_ANSWER),
        (http(gzip.compress(b"{}")[:-4], "content-encoding: gzip"), ModelFault.NOT_A_CHAT_ANSWER),
        (http(gzip.compress(b"") * 99, "content-encoding: gzip"), ModelFault.NOT_A_CHAT_ANSWER),
        (http(b"", "location: /v1/chat/completions", status="302 Found"), ModelFault.UNREACHABLE),
        (http(b"", "location: file:///etc/passwd", status="307 Temporary Redirect"), ModelFault.UNREACHABLE),
        (http(b"", "location: http://[", status="307 Temporary Redirect"), ModelFault.UNREACHABLE),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{", ModelFault.UNREACHABLE),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", ModelFault.UNREACHABLE),
        (b"SSH-2.0-OpenSSH_9.2\r\n", ModelFault.UNREACHABLE),
        (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 100_000 + b"\r\n", ModelFault.UNREACHABLE),
        (b"", ModelFault.UNREACHABLE),
        (http(b"x", status="999 Odd"), ModelFault.SERVER_ERROR),
        (http(b'{"error": ' * 50_000, status="500 No"), ModelFault.SERVER_ERROR),
        (
            http(b"\xff\xfe \x1b[31m", "content-type: text/plain; charset=hex", status="429 Slow"),
            ModelFault.RATE_LIMITED,
        ),
    ],
)
def test_answer_that_is_broken(open_at: Open, wire: Wire, talk: bytes, fault: ModelFault) -> None:
    """Broken HTTP, redirects that lead nowhere, bodies that break off: each is a typed fault with one clean line."""
    with pytest.raises(ModelCallError) as caught:
        open_at(wire.answers(talk), max_retries=0).invoke(ASK)
    assert caught.value.fault is fault
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "said", ["nan", "inf", "-5", "1e999", "soon", "", "Mon, 99 Foo 2024", "Wed, 21 Oct 99999 07:28:00 GMT", "٣"]
)
def test_retry_after_that_says_nothing(open_at: Open, wire: Wire, said: str) -> None:
    """A wait that is no wait is ignored: the request is tried again as if the server had not named one."""
    busy = http(b'{"error": {"message": "busy"}}', f"retry-after: {said}".encode().decode("latin-1"), status="429 Slow")
    good = http(json.dumps(GOOD).encode())
    busy_once = busy.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n", 1)
    assert open_at(wire.answers(busy_once, good), max_wait_s=60).invoke(ASK).content == "SELECT 1"


def test_json_under_another_name(open_at: Open, wire: Wire) -> None:
    """A completion is read whatever the server calls its type."""
    body = b"\xef\xbb\xbf  " + json.dumps(GOOD).encode()
    sent = http(body).replace(b"application/json", b"text/html; charset=utf-16")
    assert open_at(wire.answers(sent)).invoke(ASK).content == "SELECT 1"


def test_half_a_character_in_the_question(open_at: Open, reply_with: Callable[..., Any]) -> None:
    """A prompt that no encoding can write is sent with U+FFFD in its place."""
    endpoint = reply_with("hi")
    assert open_at(endpoint.url).invoke([HumanMessage("how many \ud83d?")]).content == "hi"
    assert endpoint.requests[0]["messages"][0]["content"] == "how many \ufffd?"


def test_query_of_the_url_travels(open_at: Open, wire: Wire) -> None:
    """The query of an endpoint's URL stands behind the path of each request."""
    open_at(wire.answers(http(json.dumps(GOOD).encode())) + "?api-version=2024-06-01&v=2").invoke(ASK)
    assert wire.requests[0].startswith(b"POST /v1/chat/completions?api-version=2024-06-01&v=2 HTTP/1.1")


@pytest.mark.parametrize("url", ["http://[::1", "http://host:99999/v1", "http://ho st/v1", "http://h/v1#x", "ftp://h"])
def test_address_that_is_none(open_at: Open, url: str) -> None:
    """An address that cannot be one is refused before any request."""
    with pytest.raises(UsageError, match="not the URL of an endpoint"):
        open_at(url)


def test_key_that_no_header_can_carry(open_at: Open) -> None:
    """A key with a line break inside is refused, without being shown; blanks around it are cut."""
    with pytest.raises(UsageError, match="API key") as caught:
        open_at("http://localhost:1/v1", api_key="sk-secret\nvalue")
    assert "secret" not in str(caught.value)
    open_at("http://localhost:1/v1", api_key=" sk-secret\n")
