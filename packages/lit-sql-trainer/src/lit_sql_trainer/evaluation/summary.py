"""Computes the numbers of an evaluation from its records. Pure: the same records give the same summary.

A question that our side failed to ask is in no share; it is counted apart. Shares are proportions, never percent.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from lit_sql_trainer.evaluation.records import AnswerRecord, Line, Plan, Score, Standing, Summary, Votes
from sql_reward.stats import majority_vote, pass_at_k, wilson_interval

Z95 = 1.959963984540054
LEVELS = ("easy", "medium", "hard", "extra", "")
"""Spider's levels of hardness, easiest first; a question of unknown level comes last."""

HALF = 0.5
AGREEMENT = ("all", "more than half", "half or fewer")
"""How many of its samples agree with an elected answer."""

Groups = Mapping[str, Sequence[AnswerRecord]]
"""The records of each question, by task id, without failed records and without questions that have no other record."""


def summarise(plan: Plan, records: Sequence[AnswerRecord]) -> Summary:
    """All numbers of an evaluation, as JSON values.

    `lines` are the headlines: the score of a single turn, of the agent, and, with several samples, of their majority,
    or, with votes, of the elected answer. The tables by hardness, by database, by agreement and by seen or unseen use
    the last of these.
    """
    groups = answered(records)
    chosen = {task_id: chosen_record(group) for task_id, group in groups.items()}
    failures = [record for record in records if record.failed]
    lines = [_line("single_turn", groups, lambda record: record.first), _line("agent", groups, lambda r: r.alone)]
    if plan["samples"] > 1:
        lines.append(_line("majority", {key: [record] for key, record in chosen.items()}, lambda r: r.final))
    votes: Votes = {}
    if (most := plan.get("votes", 1)) > 1:
        lines.append(_line("votes", groups, lambda r: r.final))
        votes = {"votes": most}
    summary: Summary = {
        "version": plan["version"],
        "label": plan["label"],
        "split": plan["split"],
        "questions": plan["questions"],
        "answered": len(groups),
        "samples": plan["samples"],
        "temperature": plan["temperature"],
        "failed": len(failures),
        "failures": dict(Counter(record.failed for record in failures).most_common(20)),
        "lines": lines,
        "pass_at_k": _pass_at_k(groups, plan["samples"]),
        "hardness": _tables(chosen.values(), lambda record: record.hardness, LEVELS),
        "databases": _tables(chosen.values(), lambda record: record.db_id),
        "seen": _seen(chosen.values(), frozenset(plan["unseen"])),
        "after_replies": _after_replies(groups),
        "replies": _tables(
            (record for group in groups.values() for record in group), lambda record: str(len(record.queries))
        ),
        "rewrites": rewrites([record for group in groups.values() for record in group]),
        "outcomes": _counts(record.final.outcome for record in chosen.values()),
        "stops": _counts(record.stop for record in chosen.values()),
        "empty_matches": sum(record.empty_match for record in chosen.values()),
        **votes,
    }
    if votes:
        summary["agreement"] = _tables(chosen.values(), _agreement, AGREEMENT)
    return summary


def answered(records: Iterable[AnswerRecord]) -> dict[str, list[AnswerRecord]]:
    """The records by question, without those that failed."""
    groups: dict[str, list[AnswerRecord]] = {}
    for record in records:
        if not record.failed:
            groups.setdefault(record.task_id, []).append(record)
    return groups


def chosen_record(group: Sequence[AnswerRecord]) -> AnswerRecord:
    """The answer to a question: the only one, or the one whose result most samples share (else the first)."""
    if len(group) == 1:
        return group[0]
    return group[majority_vote([record.digest for record in group]) or 0]


def rewrites(records: Sequence[AnswerRecord]) -> dict[str, int]:
    """What rewriting changed: the verdict of the first query against the agent's, where there are several replies."""
    rewritten = [record for record in records if len(record.queries) > 1]
    pairs = Counter((record.first.suite, record.alone.suite) for record in rewritten)
    return {
        "rewritten": len(rewritten),
        "fixed": pairs[False, True],
        "broke": pairs[True, False],
        "unchanged_right": pairs[True, True],
        "unchanged_wrong": pairs[False, False],
    }


def score(shares: Sequence[float]) -> Score:
    """The mean of one share for each question, with a 95 % interval.

    The interval is Wilson's when each question is right or wrong. Otherwise, for means over samples, it is ± 1.96
    standard errors over questions, within [0, 1].
    """
    total = len(shares)
    right = math.fsum(shares)
    if not total:
        return {"rate": None, "low": 0.0, "high": 1.0, "right": 0, "questions": 0}
    rate = right / total
    if all(share in (0.0, 1.0) for share in shares):
        interval = wilson_interval(round(right), total)
        low, high = interval.low, interval.high
    else:
        spread = math.fsum((share - rate) ** 2 for share in shares) / max(total - 1, 1)
        margin = Z95 * math.sqrt(spread / total)
        low, high = max(0.0, rate - margin), min(1.0, rate + margin)
    return {"rate": rate, "low": low, "high": high, "right": right, "questions": total}


def _line(name: str, groups: Groups, standing: Callable[[AnswerRecord], Standing]) -> Line:
    def shares(right: Callable[[Standing], bool]) -> list[float]:
        return [sum(right(standing(record)) for record in group) / len(group) for group in groups.values()]

    return {
        "name": name,
        "suite": score(shares(lambda found: found.suite)),
        "single": score(shares(lambda found: found.single)),
    }


def _pass_at_k(groups: Groups, samples: int) -> dict[str, Score]:
    """pass@k for the powers of two up to `samples`, and for `samples`, over the questions that have all samples."""
    whole = [[record.final.suite for record in group] for group in groups.values() if len(group) == samples]
    ks = sorted({samples, *(2**power for power in range(samples.bit_length()) if 2**power <= samples)})
    return {str(k): score([pass_at_k(samples, sum(right), k) for right in whole]) for k in ks} if samples > 1 else {}


def _after_replies(groups: Groups) -> list[Line]:
    """What the agent would score if it stopped after 1, 2, … replies."""
    longest = max((len(record.standings) for group in groups.values() for record in group), default=0)
    return [
        _line(str(count), groups, lambda record, at=count: record.standings[min(at, len(record.standings)) - 1])
        for count in range(1, longest + 1)
    ]


def _tables(
    records: Iterable[AnswerRecord], key: Callable[[AnswerRecord], str], order: Sequence[str] = ()
) -> list[Line]:
    parts: dict[str, list[AnswerRecord]] = {}
    for record in records:
        parts.setdefault(key(record), []).append(record)
    names = [name for name in order if name in parts] + sorted(set(parts) - set(order))
    return [
        {
            "name": name,
            "suite": score([float(record.final.suite) for record in parts[name]]),
            "single": score([float(record.final.single) for record in parts[name]]),
        }
        for name in names
    ]


def _agreement(record: AnswerRecord) -> str:
    agreement = record.agreement or 0.0
    return AGREEMENT[0 if agreement == 1.0 else 1 if agreement > HALF else 2]


def _seen(records: Iterable[AnswerRecord], unseen: frozenset[str]) -> list[Line]:
    if not unseen:
        return []
    return _tables(records, lambda record: "unseen" if record.db_id in unseen else "seen", ("seen", "unseen"))


def _counts(values: Iterable[str]) -> dict[str, int]:
    return dict(Counter(values).most_common())
