"""The part of OpenAI's chat-completions protocol that the local server speaks: pure functions on plain dicts.

What it cannot do it refuses with a 4xx in OpenAI's error shape; it never ignores a parameter that would change the
reply. Only parameters that cannot change it (`user`, `metadata`, …) pass unread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

ROLES = ("system", "developer", "user", "assistant")

_NEUTRAL: dict[str, tuple[Any, ...]] = {  # parameter: the values that change nothing
    "n": (None, 1),
    "stream": (None, False),
    "tools": (None, []),
    "functions": (None, []),
    "tool_choice": (None, "none", "auto"),
    "response_format": (None, {"type": "text"}),
    "presence_penalty": (None, 0, 0.0),
    "frequency_penalty": (None, 0, 0.0),
    "logit_bias": (None, {}),
    "top_logprobs": (None, 0),
}


class RequestError(Exception):
    """A request that the server refuses: HTTP `status`, and what OpenAI's error object holds."""

    def __init__(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(status, message, param, code)
        self.status = status
        self.message = message
        self.param = param
        self.code = code

    def body(self) -> dict[str, Any]:
        """The JSON answer."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """A request whose every field has been checked."""

    messages: tuple[dict[str, str], ...]
    max_tokens: int | None = None
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    logprobs: bool = False
    return_token_ids: bool = False


def parse_chat_request(body: object, *, model: str) -> ChatRequest:
    """Check a decoded request body addressed to `model`.

    Raises:
        RequestError: 404 for another model, 400 for anything else that is wrong or not offered.
    """
    if not isinstance(body, Mapping):
        raise RequestError(400, f"the body must be a JSON object, got {type(body).__name__}")
    fields = cast("Mapping[str, Any]", body)
    asked = fields.get("model")
    if not isinstance(asked, str):
        raise RequestError(400, f"model must be a string, got {asked!r}", param="model")
    if asked != model:
        message = f"the model {asked!r} does not exist here; this server offers {model!r}"
        raise RequestError(404, message, param="model", code="model_not_found")
    for name, neutral in _NEUTRAL.items():
        if fields.get(name) not in neutral:
            message = f"{name}={fields[name]!r} is not offered by this server; leave {name} out"
            raise RequestError(400, message, param=name, code="unsupported_parameter")
    name = "max_tokens" if fields.get("max_completion_tokens") is None else "max_completion_tokens"
    return ChatRequest(
        messages=_messages(fields.get("messages")),
        max_tokens=_integer(fields, name, low=1),
        temperature=_number(fields, "temperature", low=0.0, high=100.0, default=1.0),
        top_p=_number(fields, "top_p", low=0.0, high=1.0, default=1.0, open_low=True),
        seed=_integer(fields, "seed", low=-(2**63)),
        stop=_stop(fields.get("stop")),
        logprobs=_flag(fields, "logprobs"),
        return_token_ids=_flag(fields, "return_token_ids"),
    )


def _messages(value: Any) -> tuple[dict[str, str], ...]:
    if not isinstance(value, list) or not value:
        message = f"messages must be a non-empty list of {{role, content}}, got {_short(cast('object', value))}"
        raise RequestError(400, message, param="messages")
    return tuple(_message(index, item) for index, item in enumerate(cast("list[object]", value)))


def _message(index: int, value: object) -> dict[str, str]:
    where = f"messages[{index}]"
    if not isinstance(value, Mapping):
        raise RequestError(400, f"{where} must be an object with role and content, got {_short(value)}", param=where)
    message = cast("Mapping[str, Any]", value)
    role = message.get("role")
    if role not in ROLES:
        expected = ", ".join(ROLES)
        raise RequestError(400, f"{where}.role must be one of {expected}, got {role!r}", param=f"{where}.role")
    return {"role": "system" if role == "developer" else role, "content": _content(f"{where}.content", message)}


def _content(where: str, message: Mapping[str, Any]) -> str:
    content = message.get("content")
    parts: Any = [{"text": content}] if isinstance(content, str) else content
    if not isinstance(parts, list) or not parts:
        raise RequestError(400, f"{where} must be a string or a list of text parts, got {_short(content)}", param=where)
    texts = [_text(part) for part in cast("list[object]", parts)]
    if None in texts:
        raise RequestError(400, f"{where} holds a part that is not text; this server reads text only", param=where)
    return "".join(filter(None, texts))


def _text(part: object) -> str | None:
    text = cast("Mapping[str, Any]", part).get("text") if isinstance(part, Mapping) else None
    return text if isinstance(text, str) else None


def _stop(value: Any) -> tuple[str, ...]:
    items: Any = [] if value is None else [value] if isinstance(value, str) else value
    if not isinstance(items, list) or len(cast("list[Any]", items)) > 4:
        raise RequestError(400, f"stop must be a string or a list of at most four, got {_short(value)}", param="stop")
    for item in cast("list[Any]", items):
        if not isinstance(item, str) or not item:
            raise RequestError(400, f"stop must hold non-empty strings, got {_short(item)}", param="stop")
    return tuple(cast("list[str]", items))


def _number(
    fields: Mapping[str, Any], name: str, *, low: float, high: float, default: float, open_low: bool = False
) -> float:
    value = fields.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RequestError(400, f"{name} must be a number, got {_short(value)}", param=name)
    if not low <= value <= high or (open_low and value == low):
        bound = f"above {low:g} and at most" if open_low else f"between {low:g} and"
        raise RequestError(400, f"{name} must be {bound} {high:g}, got {value!r}", param=name)
    return float(value)


def _integer(fields: Mapping[str, Any], name: str, *, low: int) -> int | None:
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value < 2**63:
        raise RequestError(400, f"{name} must be an integer of at least {low}, got {_short(value)}", param=name)
    return value


def _flag(fields: Mapping[str, Any], name: str) -> bool:
    value = fields.get(name)
    if value is not None and not isinstance(value, bool):
        raise RequestError(400, f"{name} must be true or false, got {_short(value)}", param=name)
    return bool(value)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
