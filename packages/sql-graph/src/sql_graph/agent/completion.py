"""Read the body of a successful answer: a completion, or the failure of an endpoint that answers 200.

Many servers and gateways report their own failures with status 200: as an `error` in place of the choices or inside
one, as a `finish_reason`, or as a message in which nothing was generated. None of them is the model's answer. Small
oddities (no role, half a character, an odd `usage`) are repaired, so that later code need not handle them.

A reply without text counts as the model's own only where the server says that something was generated.
"""

from __future__ import annotations

import json
from typing import Any, cast

from sql_graph.agent.faults import AnswerError, fault_of_status
from sql_graph.errors import ModelFault

FAILED = frozenset({"error", "abort", "aborted", "cancelled", "canceled", "failed", "failure", "timeout"})
"""Values of `finish_reason` with which a server says that it did not finish."""
FILTERED = frozenset({"content_filter", "content-filter", "safety", "recitation", "blocklist", "prohibited_content"})
"""Values of `finish_reason` with which a filter says that it took the reply, or part of it, away."""
TEXT_FIELDS = ("content", "reasoning_content", "reasoning", "reasoning_details", "tool_calls", "function_call", "audio")
"""Where the generated text of a message can be; `refusal` is another, and stands for itself."""
_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")
_CODES = (
    (("rate_limit", "ratelimit", "exhausted", "too_many", "throttl", "quota"), ModelFault.RATE_LIMITED),
    (("auth", "api_key", "apikey", "permission", "forbidden", "credential"), ModelFault.UNAUTHORIZED),
    (("not_found", "notfound"), ModelFault.NOT_FOUND),
    (("timeout", "deadline"), ModelFault.TIMEOUT),
    (("content_filter", "content_policy", "moderation"), ModelFault.CONTENT_FILTERED),
    (("invalid", "bad_request", "badrequest", "context_length", "unsupported"), ModelFault.REJECTED),
)
"""Parts of the codes and types that endpoints give their errors, and what they mean; others are the server's."""


def read_completion(body: bytes) -> dict[str, Any]:
    """The completion in the body of a successful answer, with small oddities repaired.

    Raises:
        AnswerError: the body is no completion, or it is one in which the endpoint failed.
    """
    try:
        value: Any = json.loads(body.decode("utf-8-sig"))
        if b"\\ud" in body.lower():
            value = whole_characters(value)
    except (ValueError, RecursionError):
        raise _no_completion(body.decode("utf-8", "replace")) from None
    if not isinstance(value, dict):
        raise _no_completion(_short(value))
    answer = cast("dict[str, Any]", value)
    if error := answer.get("error") or (answer.get("object") == "error" and answer):
        raise _said_error(error)
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices:
        raise _no_completion(_short(answer))
    usage = answer.get("usage")
    answer["usage"] = _mended_usage(cast("dict[str, Any]", usage)) if isinstance(usage, dict) else None
    for choice in cast("list[Any]", choices):
        if not isinstance(choice, dict):
            raise _no_completion(_short(answer))
        _check_choice(cast("dict[str, Any]", choice), answer)
    return answer


def whole_characters(value: Any) -> Any:
    """A JSON value with U+FFFD for each lone surrogate, which JSON can spell and no encoding can write."""
    text = json.dumps(value, ensure_ascii=False)
    return json.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


def _check_choice(choice: dict[str, Any], answer: dict[str, Any]) -> None:
    if error := choice.get("error"):
        raise _said_error(error)
    reason = choice.get("finish_reason")
    choice["finish_reason"] = reason = reason.lower() if isinstance(reason, str) else None
    message = choice.get("message")
    if reason in FAILED:
        raise AnswerError(ModelFault.SERVER_ERROR, f"the reply ended with finish_reason {reason!r}")
    if reason in FILTERED:
        raise AnswerError(ModelFault.CONTENT_FILTERED, f"the reply ended with finish_reason {reason!r}")
    if not isinstance(message, dict):
        raise _no_completion(_short(answer))
    fields = cast("dict[str, Any]", message)
    if error := fields.get("error"):
        raise _said_error(error)
    fields["role"] = "assistant"
    if not isinstance(fields.get("content"), str | list | None):
        raise _no_completion(_short(answer))
    calls = fields.get("tool_calls")
    if calls and not (isinstance(calls, list) and all(isinstance(call, dict) for call in cast("list[Any]", calls))):
        raise _no_completion(_short(answer))
    if not _is_generated(fields, reason, answer["usage"]):
        raise AnswerError(
            ModelFault.NOTHING_GENERATED, f"the message is empty, with finish_reason {reason!r}, and so is its usage"
        )


def _is_generated(message: dict[str, Any], reason: str | None, usage: dict[str, Any] | None) -> bool:
    """Whether a message, even an empty one, is what the model made of the prompt."""
    if message.get("refusal") or any(message.get(name) for name in TEXT_FIELDS):
        return True
    absent = message.get("content") is None
    if absent and reason == "length":
        return False  # the limit was spent before the reply began, on thoughts that the endpoint keeps
    tokens = (usage or {}).get("completion_tokens")
    return bool(tokens) if tokens is not None else not absent and reason == "stop"


def _said_error(error: object) -> AnswerError:
    """The failure that an `error` object describes: by a status, by a code in words, or by its words alone."""
    if not isinstance(error, dict):
        return AnswerError(ModelFault.SERVER_ERROR, _short(error))
    fields = cast("dict[str, Any]", error)
    inner = fields.get("error")
    if isinstance(inner, dict) and not fields.get("message"):
        return _said_error(cast("dict[str, Any]", inner))
    said = fields.get("message") or fields.get("detail") or fields
    words = said if isinstance(said, str) else _short(said)
    status = next((s for name in ("code", "status", "status_code") if (s := _status(fields.get(name)))), None)
    if status is not None:
        return AnswerError(fault_of_status(status), words, status=status)
    names = " ".join(str(fields.get(name) or "")[:80].lower() for name in ("code", "type", "status"))
    fault = next((fault for parts, fault in _CODES if any(part in names for part in parts)), ModelFault.SERVER_ERROR)
    return AnswerError(fault, words)


def _status(value: object) -> int | None:
    """An HTTP status of a failure, given as a number or as digits."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) == 3:
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 400 <= value < 600 else None


def _mended_usage(usage: dict[str, Any]) -> dict[str, Any] | None:
    """The usage if its counts are counts; an odd one is worth nothing, and later code adds the counts up."""
    for name in _COUNTS:
        count = usage.get(name)
        if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 0):
            return None
    return usage


def _no_completion(said: str) -> AnswerError:
    return AnswerError(ModelFault.NOT_A_CHAT_ANSWER, said)


def _short(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)[:2_000]
