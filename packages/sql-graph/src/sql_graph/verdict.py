"""Read the verdict in a checker's reply. The functions are total: any text gives an answer, and none raises."""

from __future__ import annotations

import re
from enum import StrEnum

from sql_graph.parse import plain_reply


class CheckVerdict(StrEnum):
    """A checker's verdict on a query."""

    CORRECT = "correct"
    INCORRECT = "incorrect"


_ADVERBS = (
    r"(?:(?:fully|completely|entirely|quite|really|actually|still|therefore|thus|clearly|perfectly|also|just)\s+){0,2}"
)
_WORD = (
    rf"(?P<neg>(?:not|n't|never|far\s+from|anything\s+but)\s+)?{_ADVERBS}(?P<neg_2>not\s+)?[*_`\"'\[(]*"
    r"(?P<word>incorrect|correct|wrong|right|invalid|valid)\b[*_`\"'\])]*"
)
_EXPLICIT = re.compile(
    rf"\bverdict\b(?:[^\w\n]|_){{1,12}}?(?:is\W+)?(?:the\s+(?:\w+\s+)?(?:query|sql|answer)\s+is(?P<isnt>n't)?\s+)?{_WORD}",
    re.I,
)
_JSON_FLAG = re.compile(
    r"[\"'](?:is_)?(?P<word>correct|valid|incorrect|invalid)[\"']\s*:\s*[\"']?(?P<flag>true|false|yes|no)\b", re.I
)
_ALONE = re.compile(
    rf"^[\s>*_#`-]*(?:(?:so|therefore|thus|overall|final|answer|result|conclusion|assessment|evaluation|judg[e]?ment)[*_,:=\s]+)?(?:the\s+query\s+is\s+[*_`]*)?{_WORD}[\s*_`.!\])]*$",
    re.I,
)
_REASONED = re.compile(
    rf"^[\s>*_#`\d.)-]*{_WORD}\s*(?:[:,;.!—–-]+(?:\s|$)|\(|\b(?:because|since|as\b|due\s+to|for\b))", re.I
)
_SENTENCE = re.compile(
    r"(?:^|[.!?:;,]\s+|\b(?:so|therefore|thus|hence|overall|that|and|think|believe|conclude)[,\s]+)[\s>*_#`-]*"
    r"(?:(?:the|this|that|your)\s+(?:[\w*`]+\s+){0,2}?(?:query|sql|statement|answer|result)|it|this)\s+"
    rf"(?:is|was|looks|seems|appears)(?:\s+to\s+be)?(?P<isnt>n't)?\s+{_WORD}(?P<after>[^\n]{{0,40}})",
    re.I,
)
_DOUBT = re.compile(
    r"\b(?:whether|if|would\s+be|could\s+be|should\s+be|might\s+be|cannot\s+say|can't\s+say|unsure|not\s+sure)\b", re.I
)
_RESERVED = re.compile(r"[\s,;*_`]*(?:but|except|if|only|however|apart|unless|when|provided|or\b|/|\|)", re.I)
_CHOICE = re.compile(r"[\s*_`\"'\])]*(?:or|/|\||,\s*or)[\s*_`\"'\[(]*(?:verdict\W+)?(?:in)?correct", re.I)
LINE_CHARS = 2_000


def parse_verdict(reply: str) -> CheckVerdict | None:
    """The verdict in a checker's reply; None when it gives none, or a choice of both.

    A line that names the verdict (`VERDICT: INCORRECT because …`) or is only a verdict (`The query is correct.`) wins,
    and the last of these counts. Without such a line, the last line counts that begins with the verdict and continues
    with a reason (`Incorrect: the join is missing`) or says in a sentence whether the query is correct. A negation
    reverses the word. Doubt (`whether`, `if`, `would be`) is not a verdict.
    """
    lines = _lines(reply)
    for read in (_named, _told):
        for line in reversed(lines):
            if found := read(line):
                return found[0]
    return None


def checker_remarks(reply: str) -> str:
    """A checker's words besides its verdict: the lines without one, and the reason on the verdict's own line."""
    kept: list[str] = []
    for line in _lines(reply):
        found = _named(line)
        if found is None:
            kept.append(line)
        elif rest := line[found[1] :].strip(' \t*_`.!:;,)]}-—–>"'):
            kept.append(rest)
    return "\n".join(kept).strip()


def _lines(reply: str) -> list[str]:
    return [line for turn in plain_reply(reply) for line in turn.splitlines()]


def _named(line: str) -> tuple[CheckVerdict, int] | None:
    """The verdict of a line that names it or holds nothing else, and where its words end."""
    line = line[:LINE_CHARS]
    explicit = list(_EXPLICIT.finditer(line))
    if explicit:
        return None if _is_choice(line) else (_verdict(explicit[-1]), explicit[-1].end())
    if flag := _JSON_FLAG.search(line):
        good = (flag["word"].lower() in ("correct", "valid")) == (flag["flag"].lower() in ("true", "yes"))
        return CheckVerdict.CORRECT if good else CheckVerdict.INCORRECT, flag.end()
    alone = _ALONE.match(line)
    return (_verdict(alone), len(line)) if alone else None


def _told(line: str) -> tuple[CheckVerdict, int] | None:
    """The verdict of a line that begins with it and gives a reason, or that says it in a sentence."""
    line = line[:LINE_CHARS]
    if (reasoned := _REASONED.match(line)) and not _is_choice(line):
        return _verdict(reasoned), 0
    for found in _SENTENCE.finditer(line):
        verdict = _verdict(found)
        if _DOUBT.search(line, 0, found.end("word")) or _is_choice(line):
            continue
        if verdict is CheckVerdict.CORRECT and _RESERVED.match(found["after"]):
            continue
        return verdict, 0
    return None


def _is_choice(line: str) -> bool:
    """Whether a line offers both verdicts, as the prompt does."""
    return any(_CHOICE.match(line, word.end()) for word in re.finditer(r"correct\b", line, re.IGNORECASE))


def _verdict(found: re.Match[str]) -> CheckVerdict:
    groups = found.groupdict()
    negations = sum(bool(groups.get(name)) for name in ("neg", "neg_2", "isnt"))
    good = groups["word"].lower() in ("correct", "right", "valid")
    return CheckVerdict.CORRECT if good != (negations % 2 == 1) else CheckVerdict.INCORRECT
