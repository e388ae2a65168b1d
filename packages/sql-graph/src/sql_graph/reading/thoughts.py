"""Find the answer in a reply: leave out its thoughts, separate its channels and turns, remove its end marks.

Models mark their thoughts in many ways, servers leave the tokens of chat templates in the text, and some models invent
further turns. A marker inside quotes on its line is data: `LIKE '%<think>%'`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_NAMES = (
    r"(?:think(?:ing)?|thoughts?|reason(?:ing)?|analysis|scratch[_ -]?pad|reflect(?:ion)?|rationale|monologue|"
    r"deliberation|chain[_-]of[_-]thought|cot|brainstorm(?:ing)?|plan(?:ning)?|drafts?|self[_-]?critique)"
)
_AFFIXED = rf"(?:[a-z]+[:_-])?{_NAMES}(?:[_-][a-z]+)?"
_BAR = r"[|｜]"
_OF = r"(?:[_▁ ]?of)?[_▁ ]"
_MARKER = re.compile(
    rf"<(?P<tag_end>/?)(?P<tag>{_AFFIXED})\b[^<>\n]{{0,80}}>"
    rf"|\[(?P<box_end>/?)(?P<box>THINK(?:ING)?|THOUGHTS?|REASONING|ANALYSIS|SCRATCHPAD|REFLECTION)\]"
    rf"|◁(?P<kimi_end>/?)(?P<kimi>{_NAMES})▷"
    rf"|<{_BAR}(?P<bar_end>/|end{_OF})(?P<bar_1>{_NAMES}|inner){_BAR}>"
    rf"|<{_BAR}(?:(?:begin|start){_OF})?(?P<bar>{_NAMES})(?P<bar_tail>[_▁](?:start|begin|end))?{_BAR}>"
    rf"|<{_BAR}inner_(?P<inner>prefix|suffix){_BAR}>",
    re.IGNORECASE,
)
_GRANITE = re.compile(r"\bhere is my response:", re.IGNORECASE)
_GRANITE_THOUGHT = re.compile(r"\s*here(?: is|'s) my (?:thought process|thinking|reasoning)", re.IGNORECASE)
_CHANNEL = re.compile(
    r"<\|channel\|?>\s*(?P<name>[a-z]+)(?P<to>[^<\n]*)(?:<\|constrain\|>[^<\n]{0,20})?(?:<\|message\|>)?|"
    r"<\|(?:start|end|return|call)\|>(?:assistant\b)?|<channel\|>",
    re.IGNORECASE,
)
_STRIPPED_HARMONY = re.compile(r"\s*analysis(?=[A-Z\s])")
_STRIPPED_FINAL = re.compile(r"assistant\s*final", re.IGNORECASE)
_TURN = re.compile(
    rf"<{_BAR}(?P<word>[a-z][\w▁:./-]{{0,40}}){_BAR}>|</s>|<s>|<(?:eos|bos|pad|unk)>|<(?P<gemma>end|start)_of_turn>|"
    r"\[/?INST\]|\[(?:EOS|PAD|BOS)\]|<</?SYS>>",
    re.IGNORECASE,
)
_END = re.compile(
    r"im_end|eot(?:_id)?|eom_id|eos|end|endoftext|end_of_text|end_of_turn(?:_token)?|end▁of▁sentence|return|"
    r"end_of_message|endofprompt|eod(?:_id)?|end_of_utterance|endofturn|message_end|diff_marker",
    re.IGNORECASE,
)
_FOREIGN = re.compile(r"user|system|observation|human|tool|ipython|environment|User|System", re.IGNORECASE)
_ROLE = re.compile(
    r"\s*(?:<\|start_header_id\|>)?(assistant|model|user|system|tool|human|ipython)\b[ \t]*:?[ \t]*(?:\n|\Z)", re.I
)
_QUOTE = re.compile("['\"`]")
_ON_LINE = re.compile(r"(?<!\w)'[^'\n]*'|(?<!\w)\"[^\"\n]*\"|(?<!`)`[^`\n]+`(?!`)")


def without_thinking(reply: str) -> str:
    """A reply without its thoughts. The prompt may open a thought, and the length limit may leave one open.

    A closing marker without its opening one ends a thought that the prompt began, so all before it goes. A marker of
    the same name inside an open thought changes nothing; one of another name is nested in it.
    """
    return "".join(_parted(_final_channel(reply))[0])


def thoughts_in(reply: str) -> str:
    """The thoughts of a reply, which `without_thinking` leaves out, one after the other and without their markers."""
    channels = [text.strip() for name, text in _channels(reply) if name == "analysis"]
    return "\n".join([*channels, *(part.strip() for part in _parted(_final_channel(reply))[1])]).strip()


def _parted(text: str) -> tuple[list[str], list[str]]:
    """The parts of a text outside thoughts, and the thoughts, each in order."""
    kept: list[str] = []
    thoughts: list[str] = []
    opened: list[str] = []
    at = 0
    for marker in _MARKER.finditer(text):
        name, closes = _named(marker)
        if is_quoted(text, marker) or (marker["box"] and not closes and not _on_new_line(text, marker.start())):
            continue
        before = text[at : marker.start()]
        if opened or closes:
            thoughts.append(before)
        if closes:
            if not opened:
                thoughts[:0] = kept
                kept.clear()
            del opened[opened.index(name) if name in opened else 0 :]
        else:
            if not opened:
                kept.append(before)
            if name not in opened:
                opened.append(name)
        at = marker.end()
    (thoughts if opened else kept).append(text[at:])
    return kept, thoughts


def turns(text: str) -> Iterator[str]:
    """The assistant's own turns in a text without thoughts, in order, without the tokens of chat templates.

    The text ends where another speaker begins, because the model invented the rest.
    """
    kept: list[str] = []
    said = False
    at = 0
    for token in _TURN.finditer(text):
        if token.start() < at or is_quoted(text, token):
            continue
        kept.append(text[at : token.start()])
        said = said or bool(kept[-1].strip())
        at = token.end()
        role = _ROLE.match(text, at)
        word = token["word"] or ""
        if role:
            at = role.end()
        foreign = _FOREIGN.fullmatch(role.group(1) if role else word) or token.group().upper() == "[INST]"
        if said and (foreign or role or _ends_turn(token, word)):
            yield "".join(kept)
            kept.clear()
            said = False
            if foreign:
                return
    yield "".join(kept) + text[at:]


def _on_new_line(text: str, at: int) -> bool:
    """Whether only blanks stand before `at` on its line."""
    before = text[max(0, at - 40) : at]
    return not before.rpartition("\n")[2].strip()


def _ends_turn(token: re.Match[str], word: str) -> bool:
    mark = token.group().lower()
    return bool(_END.fullmatch(word)) or token["gemma"] == "end" or mark in ("</s>", "<eos>", "[/inst]", "[eos]")


def _named(marker: re.Match[str]) -> tuple[str, bool]:
    """The name of a thought, and whether the marker ends it."""
    if marker["inner"]:
        return "inner", marker["inner"].lower() == "suffix"
    if marker["bar_1"]:
        return marker["bar_1"].lower(), True
    if marker["bar"]:
        return marker["bar"].lower(), (marker["bar_tail"] or "").lower().endswith("end")
    for kind in ("tag", "box", "kimi"):
        if marker[kind]:
            return marker[kind].lower(), bool(marker[f"{kind}_end"])
    return "", False


def _final_channel(reply: str) -> str:
    """A reply in channels (`<|channel|>analysis<|message|>…`) without those in which a model thinks."""
    if _STRIPPED_HARMONY.match(reply):  # a server that drops the tokens leaves `analysis…assistantfinal…`
        finals = [final.end() for final in _STRIPPED_FINAL.finditer(reply)]
        if finals:
            return reply[finals[-1] :]
    if _GRANITE_THOUGHT.match(reply) and (response := _GRANITE.search(reply)):
        return reply[response.end() :]
    kept = _channels(reply)
    if not kept:
        return reply
    for wanted in ("final", "commentary", "", "response"):
        found = [text for name, text in kept if name == wanted and text.strip()]
        if found:
            return "\n".join(found)
    return ""


def _channels(reply: str) -> list[tuple[str, str]]:
    """The name and text of each channel of a reply, the unnamed text before the first included; empty without any."""
    marks = list(_CHANNEL.finditer(reply))
    if not any(mark["name"] for mark in marks):
        return []
    found: list[tuple[str, str]] = []
    name, at = "", 0
    for mark in marks:
        found.append((name, reply[at : mark.start()]))
        at = mark.end()
        name = (mark["name"] or "").lower()
    return [*found, (name, reply[at:])]


def is_quoted(text: str, found: re.Match[str]) -> bool:
    """Whether a marker stands inside quotes on its line, and so is data."""
    before = text.rfind("\n", max(0, found.start() - 400), found.start()) + 1 or max(0, found.start() - 400)
    if not _QUOTE.search(text, before, found.start()):
        return False
    after = text.find("\n", found.end(), found.end() + 400)
    line_end = after if after >= 0 else min(len(text), found.end() + 400)
    return any(
        quote.start() < found.start() and found.end() < quote.end()
        for quote in _ON_LINE.finditer(text, before, line_end)
    )
