"""Estimate the number of tokens of a text without the model's tokenizer. The estimate is rather too high than too low.

Rules for byte-pair tokenizers (Qwen, Llama, GPT): a digit and a punctuation mark count one token each, a run of
ASCII letters one per three letters begun, a run of blanks one per eight begun (a single space joins the next word),
any other character its UTF-8 bytes, which is the most a byte-level tokenizer can ever make of it. Over the prompts for
Spider's 164 databases in both styles, the estimate is 1.3 to 2.4 times what Qwen's tokenizer counts. A tokenizer of a
few thousand tokens splits words more finely and may exceed it: leave such a model room in its context.
"""

from __future__ import annotations

import re
from functools import lru_cache

_NOTE = re.compile(r"\[\d+ characters left out\]|\b\d+ more (?:columns|tables?) not shown\b")
LETTERS_PER_TOKEN = 3
BLANKS_PER_TOKEN = 8
_LETTERS = re.compile(r"[A-Za-z]+")
_BLANKS = re.compile(r"[ \t\r\n]{2,}|[\t\r\n]")
_SINGLES = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f!-@\[-`{-\x7f]")


@lru_cache(maxsize=512)
def estimate_tokens(text: str) -> int:
    """An upper estimate of the tokens in `text`; 0 for the empty string, and never less for a longer text."""
    letters = sum(-(-len(run) // LETTERS_PER_TOKEN) for run in _LETTERS.findall(text))
    blanks = sum(-(-len(run) // BLANKS_PER_TOKEN) for run in _BLANKS.findall(text))
    singles = len(_SINGLES.findall(text))
    wide = 0 if text.isascii() else sum(len(char.encode("utf-8", "replace")) for char in text if char > "\x7f")
    return letters + blanks + singles + wide


def clip(text: str, max_tokens: int) -> str:
    """`text` if it fits in `max_tokens` as `estimate_tokens` counts, else its head and a note of what was left out.

    The note counts towards the limit. Where not even the note fits, the result is empty.
    """
    if estimate_tokens(text) <= max_tokens:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if estimate_tokens(_clipped(text, middle)) <= max_tokens:
            low = middle
        else:
            high = middle - 1
    return _clipped(text, low) if estimate_tokens(_clipped(text, low)) <= max_tokens else ""


def holds_note(text: str) -> bool:
    """Whether a text holds a note that `clip` or the schema writes where it leaves something out."""
    return _NOTE.search(text) is not None


def _clipped(text: str, kept: int) -> str:
    return f"{text[:kept].rstrip()} [{len(text) - kept} characters left out]"
