"""What the results of many pairs add up to: accuracy by hardness with intervals, and the parts of exact match.

Shares are of the pairs that could be judged; those that could not are counted beside them, never as wrong.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Final

from sql_reward.exact.levels import Hardness
from sql_reward.exact.match import Component
from sql_reward.scoring.score import PairResult
from sql_reward.stats import wilson_interval

WIDTH: Final = 80
"""Characters of the tables' lines, at most."""
LEVELS = (*Hardness, "unknown", "all")
"""Columns of figures. Unknown are golds that the official grammar cannot read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How many of how many were right."""

    matched: int
    count: int

    @property
    def accuracy(self) -> float | None:
        """None where nothing was counted."""
        return self.matched / self.count if self.count else None

    def to_json(self) -> dict[str, float | int | None]:
        """With its 95 % Wilson interval."""
        interval = wilson_interval(self.matched, self.count)
        return {
            "matched": self.matched,
            "count": self.count,
            "accuracy": self.accuracy,
            "low": interval.low if self.count else None,
            "high": interval.high if self.count else None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """How often one component of exact match was right."""

    accuracy: float | None
    """Of the predictions that have it; None where none has."""
    recall: float | None
    """Of the golds that have it; None where none has."""

    @property
    def f1(self) -> float | None:
        """Harmonic mean. Unlike the official report it is 0, not 1, where nothing was right."""
        if self.accuracy is None or self.recall is None:
            return None if self.accuracy is self.recall else 0.0
        total = self.accuracy + self.recall
        return 2 * self.accuracy * self.recall / total if total else 0.0

    @classmethod
    def of(cls, components: Sequence[Component]) -> "Scores":
        """Added up as officially: a component without items on one side does not count on that side."""
        predicted = [component.correct for component in components if component.predicted]
        gold = [component.correct for component in components if component.gold]
        return cls(
            accuracy=sum(predicted) / len(predicted) if predicted else None,
            recall=sum(gold) / len(gold) if gold else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreReport:
    """Results by level of hardness, and `all`. A level without pairs is left out."""

    counts: dict[str, int]
    execution: dict[str, Share]
    """Empty where execution was not asked for."""
    exact: dict[str, Share]
    """Empty where exact match was not asked for."""
    components: dict[str, dict[str, Scores]]
    """By component, then by level."""
    outcomes: dict[str, int]
    not_judged: int
    """Pairs with an error of ours: in no share above."""
    unread_golds: int
    """Golds that the grammar of exact match cannot read, where exact match was asked for: not in its shares."""

    @classmethod
    def of(cls, results: Sequence[PairResult], *, execution: bool, exact: bool) -> "ScoreReport":
        """Add up results; `execution` and `exact` say what was asked for."""
        by_level: dict[str, list[PairResult]] = {level: [] for level in LEVELS}
        for result in results:
            by_level[result.hardness or "unknown"].append(result)
            by_level["all"].append(result)
        kept = {level: members for level, members in by_level.items() if members or level == "all"}
        matches = {level: [result.exact for result in members if result.exact] for level, members in kept.items()}
        verdicts = {level: [result.verdict for result in members if result.verdict] for level, members in kept.items()}
        names = list(matches["all"][0].components) if exact and matches["all"] else []
        return cls(
            counts={level: len(members) for level, members in kept.items()},
            execution={
                level: Share(matched=sum(verdict.matched for verdict in found), count=len(found))
                for level, found in verdicts.items()
                if execution
            },
            exact={
                level: Share(matched=sum(match.matched for match in found), count=len(found))
                for level, found in matches.items()
                if exact
            },
            components={
                name: {
                    level: Scores.of([match.components[name] for match in found]) for level, found in matches.items()
                }
                for name in names
            },
            outcomes=dict(Counter(str(verdict.outcome) for verdict in verdicts["all"]).most_common()),
            not_judged=sum(bool(result.error) for result in results),
            unread_golds=sum(result.exact is None and not result.error for result in results) if exact else 0,
        )

    def table(self) -> str:
        """For people: a column per level."""
        levels = list(self.counts)
        lines = [_line("", levels), _line("count", [f"{self.counts[level]:,}" for level in levels])]
        for title, shares in (("execution accuracy", self.execution), ("exact match accuracy", self.exact)):
            if shares:
                lines.append(_line(title, [_number(shares[level].accuracy) for level in levels]))
                lines.append(_line("  95 % from", [_number(shares[level].to_json()["low"]) for level in levels]))
                lines.append(_line("  95 % to", [_number(shares[level].to_json()["high"]) for level in levels]))
        if self.components:
            for title in ("accuracy", "recall", "f1"):
                lines += ["", f"exact match by component: {title}"]
                for name, scores in self.components.items():
                    lines.append(_line(name, [_number(getattr(scores[level], title)) for level in levels]))
        if self.outcomes:
            told = ", ".join(f"{name} {count:,}" for name, count in self.outcomes.items())
            lines += ["", *wrap(f"outcomes: {told}", WIDTH, subsequent_indent="  ", break_on_hyphens=False)]
        if self.not_judged:
            lines.append(f"not judged, and in no share above: {self.not_judged:,}")
        if self.unread_golds:
            lines.append(f"golds that exact match cannot read, in none of its shares: {self.unread_golds:,}")
        return "\n".join(lines)

    def to_json(self) -> dict[str, object]:
        """The same figures as plain JSON values; shares from 0 to 1, null where nothing was counted."""
        return {
            "counts": self.counts,
            "execution_accuracy": self.execution["all"].accuracy if self.execution else None,
            "exact_match_accuracy": self.exact["all"].accuracy if self.exact else None,
            "execution": {level: share.to_json() for level, share in self.execution.items()},
            "exact_match": {level: share.to_json() for level, share in self.exact.items()},
            "components": {
                name: {
                    level: {"accuracy": scores.accuracy, "recall": scores.recall, "f1": scores.f1}
                    for level, scores in by_level.items()
                }
                for name, by_level in self.components.items()
            },
            "outcomes": self.outcomes,
            "not_judged": self.not_judged,
            "unread_golds": self.unread_golds,
        }


def _line(title: str, cells: Sequence[str]) -> str:
    return f"{title:<22}" + "".join(f"{cell:>9}" for cell in cells)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
