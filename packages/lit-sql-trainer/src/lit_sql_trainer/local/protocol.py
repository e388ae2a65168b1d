"""The part of OpenAI's chat-completions protocol that the local server speaks.

What it cannot do it refuses with a 4xx in OpenAI's error shape; it never ignores a parameter that would change the
reply. Only parameters that cannot change it (`user`, `metadata`, …) pass unread. JSON that two readers could
understand differently (a key that stands twice, `NaN`, half a surrogate pair) is refused as well.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from reprlib import Repr
from typing import Annotated, Literal, cast

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

_NEUTRAL: dict[str, tuple[object, ...]] = {  # parameter: the values that change nothing
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
_NOT_TEXT = "not_text"
_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 60


class RequestError(Exception):
    """A request that the server refuses: HTTP `status`, and what OpenAI's error object holds."""

    def __init__(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(status, message, param, code)
        self.status = status
        self.message = message
        self.param = param
        self.code = code

    def body(self) -> dict[str, object]:
        """The JSON answer."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}


def _is_text(text: str) -> str:
    """The same text; half a surrogate pair, which JSON can spell and no tokenizer reads, is refused."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError from error
    return text


def _joined(content: object) -> object:
    """The text of a list of text parts; anything else as it is."""
    parts = cast("list[object]", content) if isinstance(content, list) else []
    if not parts:
        return cast("object", content)
    texts = [_text_of(part) for part in parts]
    if None in texts:
        raise PydanticCustomError(_NOT_TEXT, "holds a part that is not text; this server reads text only")
    return "".join(filter(None, texts))


def _text_of(part: object) -> str | None:
    text = cast("Mapping[str, object]", part).get("text") if isinstance(part, Mapping) else None
    return text if isinstance(text, str) else None


def _listed(stop: object) -> object:
    if stop is None:
        stop = cast("list[object]", [])
    return [stop] if isinstance(stop, str) else stop


def _or(default: object) -> BeforeValidator:
    """`null` means the default, as it does at OpenAI."""
    return BeforeValidator(lambda value: default if value is None else value)


Text = Annotated[str, AfterValidator(_is_text)]
Size = Annotated[int | None, Field(ge=1, lt=2**63, description="an integer of at least 1")]


class Message(BaseModel):
    """One message of a chat."""

    model_config = ConfigDict(strict=True, frozen=True)

    role: Literal["system", "developer", "user", "assistant"] = Field(
        description="one of system, developer, user, assistant"
    )
    content: Annotated[Text, BeforeValidator(_joined)] = Field(description="a string or a list of text parts")

    def to_template(self) -> dict[str, str]:
        """As chat templates read it; `developer` is the newer name of `system`."""
        return {"role": "system" if self.role == "developer" else self.role, "content": self.content}


class ChatRequest(BaseModel):
    """A request whose every field has been checked. Each field's description says what it must be."""

    model_config = ConfigDict(strict=True, frozen=True)

    model: Text = Field(description="a string")
    messages: list[Annotated[Message, Field(description="an object with role and content")]] = Field(
        min_length=1, description="a non-empty list of {role, content}"
    )
    max_completion_tokens: Size = None
    max_tokens: Size = None
    temperature: Annotated[float, _or(1.0)] = Field(default=1.0, ge=0, le=100, description="a number between 0 and 100")
    top_p: Annotated[float, _or(1.0)] = Field(default=1.0, gt=0, le=1, description="a number above 0 and at most 1")
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63, description="an integer of 64 bits")
    stop: Annotated[list[Annotated[Text, Field(min_length=1)]], BeforeValidator(_listed), Field(max_length=4)] = Field(
        default=[], description="a non-empty string or a list of at most four of them"
    )
    logprobs: Annotated[bool, _or(False)] = Field(default=False, description="true or false")
    return_token_ids: Annotated[bool, _or(False)] = Field(default=False, description="true or false")

    @property
    def reply_tokens(self) -> int | None:
        """The bound that the request sets to the reply, under its newer or its older name."""
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens


def read_json(body: bytes) -> object:
    """The value that a body spells.

    Raises:
        RequestError: 400, it is no JSON, or JSON that readers understand differently.
    """
    try:
        return json.loads(body, object_pairs_hook=_once_each, parse_constant=_no_constant)
    except RecursionError as error:
        raise RequestError(400, "the body is not valid JSON: it is nested too deeply") from error
    except ValueError as error:
        raise RequestError(400, f"the body is not valid JSON: {error}") from error


def parse_chat_request(body: object, *, model: str) -> ChatRequest:
    """Check a decoded request body addressed to `model`.

    Raises:
        RequestError: 404 for another model, 400 for anything else that is wrong or not offered.
    """
    if not isinstance(body, Mapping):
        raise RequestError(400, f"the body must be a JSON object, got {type(body).__name__}")
    fields = cast("Mapping[str, object]", body)
    asked = fields.get("model")
    if isinstance(asked, str) and asked != model:
        message = f"the model {_SHORT.repr(asked)} does not exist here; this server offers {model!r}"
        raise RequestError(404, message, param="model", code="model_not_found")
    for name, neutral in _NEUTRAL.items():
        if fields.get(name) not in neutral:
            message = f"{name}={_SHORT.repr(fields[name])} is not offered by this server; leave {name} out"
            raise RequestError(400, message, param=name, code="unsupported_parameter")
    try:
        return ChatRequest.model_validate(fields)
    except ValidationError as error:
        raise _refusal(error) from error


def _refusal(error: ValidationError) -> RequestError:
    """The first fault in OpenAI's shape: the parameter, what it must be, and what it is."""
    first = error.errors(include_url=False, include_context=False)[0]
    param = _param(first["loc"])
    if first["type"] == _NOT_TEXT:
        return RequestError(400, f"{param} {first['msg']}", param=param)
    # A list is blamed as a whole, but for the messages in it, each of which has a place of its own.
    if first["loc"][0] == "stop":
        param = "stop"
    got = "nothing" if first["type"] == "missing" else _SHORT.repr(first["input"])
    return RequestError(400, f"{param} must be {_wanted(first['loc'])}, got {got}", param=param)


def _wanted(place: Sequence[int | str]) -> str:
    """What the field at a place must be, as the models above describe it."""
    match place:
        case ["messages", int()]:
            return "an object with role and content"
        case ["messages", int(), str(name), *_]:
            found = Message.model_fields[name]
        case [str(name), *_]:
            found = ChatRequest.model_fields[name]
        case _:
            return "something else"
    return found.description or "something else"


def _param(place: Sequence[int | str]) -> str:
    """`messages[0].role`"""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return text.removeprefix(".")


def _once_each(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"the key {_SHORT.repr(twice)} stands twice in one object")
    return found


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")
