"""Write text from a database into a prompt so that it cannot change the prompt.

Names, values, comments and results come from a database, and anybody may have written them. These functions remove or
escape line ends, control and bidirectional characters, fences and tokens of chat templates, so that such a text cannot
change the prompt around it.
"""

from __future__ import annotations

import re

_CONTROL = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\U000e0000-\U000e007f\ud800-\udfff]"
)
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\x00": "\\0"}
_FENCE = re.compile(r"`{3,}|~{3,}")
_TOKEN = re.compile(
    r"<(?=[|｜])|(?<=[|｜])>|<(?=/?(?:s|bos|eos|pad|unk|think(?:ing)?|tool_call|tool_response)>|(?:start|end)_of_turn>|</?SYS>)"
    r"|\[(?=/?(?:INST|SYSTEM_PROMPT|THINK|TOOL_CALLS|AVAILABLE_TOOLS|TOOL_RESULTS)\])",
    re.IGNORECASE,
)


def on_one_line(text: str) -> str:
    """A text on one line, each of its control and unseen characters written as an escape."""
    return _CONTROL.sub(lambda found: _NAMED.get(found.group()) or f"\\u{ord(found.group()):04x}", text)


def inert(text: str) -> str:
    """A text whose fences and tokens of chat templates are broken by a space; its lines stay."""
    text = _FENCE.sub(lambda fence: " ".join(fence.group()), text)
    return _TOKEN.sub(lambda mark: f"{mark.group()} " if mark.group() in "<[" else f" {mark.group()}", text)


def tame(text: str) -> str:
    """A text of several lines without control characters, fences or tokens of chat templates; tabs become blanks."""
    lines = text.replace("\r\n", "\n").replace("\t", " ").split("\n")
    return inert("\n".join(on_one_line(line) for line in lines))
