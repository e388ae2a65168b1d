"""Formats a summary as text for people: in percent, with the interval beside each number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lit_sql_trainer.evaluation.records import Line, Score, Summary

NAMES = {
    "single_turn": "0  single turn, same prompt",
    "agent": "1  agent",
    "majority": "2  majority of {samples} by result",
    "votes": "2  vote of up to {votes}",
}


def describe_summary(summary: Summary, *, baseline: bool = True) -> str:
    """The whole summary as text; without `baseline` it leaves out line 0."""
    lines = [
        f"{summary['label']} on {summary['split']}: {summary['answered']} of {summary['questions']} questions"
        + (f", {summary['samples']} samples at temperature {summary['temperature']:g}" if _sampled(summary) else "")
    ]
    head = [line for line in summary["lines"] if baseline or line["name"] != "single_turn"]
    lines += _table("", [(NAMES[line["name"]].format(**summary), line) for line in head])
    for k, found in summary["pass_at_k"].items():
        lines.append(f"   pass@{k:<24} {_percent(found)}")
    parts = {"by hardness": summary["hardness"], "by database": summary["databases"], "in training": summary["seen"]}
    for title, scored in parts.items():
        lines += _table(title, [(part["name"] or "unknown", part) for part in scored])
    lines += _table("samples that agree", [(part["name"], part) for part in summary.get("agreement", [])])
    if len(summary["after_replies"]) > 1:
        lines += _table("had it stopped after", [(_replies(part["name"]), part) for part in summary["after_replies"]])
        lines += _table("by replies used", [(_replies(part["name"]), part) for part in summary["replies"]])
    found = summary["rewrites"]
    unchanged = found["unchanged_right"] + found["unchanged_wrong"]
    lines += [
        f"rewrites: {found['rewritten']} answers rewritten: {found['fixed']} fixed, {found['broke']} broke, "
        f"{unchanged} unchanged ({found['unchanged_right']} right, {found['unchanged_wrong']} wrong)",
        f"outcomes: {_listed(summary['outcomes'])}",
        f"ended: {_listed(summary['stops'])}",
    ]
    if summary["empty_matches"]:
        lines.append(f"right on questions whose right result is empty, which says little: {summary['empty_matches']}")
    lines += failures(summary)
    return "\n".join(lines)


def failures(summary: Summary) -> list[str]:
    """The failures of our side, as lines: how many, and the most frequent reasons."""
    if not summary["failed"]:
        return ["failures of ours: none"]
    lines = [
        f"failures of ours: {summary['failed']} answers are missing and count nowhere above; the same command asks "
        f"them again"
    ]
    return lines + [f"   {count} × {reason}" for reason, count in list(summary["failures"].items())[:5]]


def _table(title: str, rows: Sequence[tuple[str, Line]]) -> list[str]:
    lines = [f"{title:32}{'suite of databases':>24}{'one database':>24}"] if rows else []
    for name, part in rows:
        count = part["suite"]["questions"]
        lines.append(f"   {name:29}{_percent(part['suite']):>24}{_percent(part['single']):>24}{count:>7}")
    return lines


def _percent(found: Score) -> str:
    if found["rate"] is None:
        return "-"
    return f"{100 * found['rate']:.1f} [{100 * found['low']:.1f}, {100 * found['high']:.1f}]"


def _replies(count: str) -> str:
    return "1 reply" if count == "1" else f"{count} replies"


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"


def _sampled(summary: Summary) -> bool:
    return bool(summary["samples"] > 1 or summary["temperature"])
