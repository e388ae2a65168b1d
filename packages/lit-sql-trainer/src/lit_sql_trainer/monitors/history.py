"""Remember what the monitors need of a run's metric lines: windows of a dozen measures, and the validations."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from lit_sql_trainer.rollouts.metrics import Measure, MetricLine, measure, share, when_trained


class Ends:
    """Mean of the first and of the last `window` values of a series, without keeping it."""

    def __init__(self, window: int) -> None:
        self.first: list[float] = []
        self.last: deque[float] = deque(maxlen=window)
        self.count = 0

    def add(self, value: float) -> None:
        """Add a value."""
        if len(self.first) < (self.last.maxlen or 0):
            self.first.append(value)
        self.last.append(value)
        self.count += 1

    def means(self) -> tuple[float, float] | None:
        """Return the means of the start and of now; None while the two windows overlap."""
        if self.count < 2 * (self.last.maxlen or 0):
            return None
        return math.fsum(self.first) / len(self.first), math.fsum(self.last) / len(self.last)


@dataclass(slots=True)
class History:
    """The measures and validations of the lines so far."""

    window: int
    series: dict[str, Ends] = field(default_factory=dict[str, Ends])
    rewards: list[tuple[int, float]] = field(default_factory=list[tuple[int, float]])
    """(step, training reward)."""
    validations: list[tuple[int, float, float]] = field(default_factory=list[tuple[int, float, float]])
    """(step, reward, standard error)."""
    reference: tuple[float, float] | None = None
    """The best validation with its error; a later one must beat it by more than that error."""
    stale: int = 0
    """Validations in a row that did not beat it."""

    def add(self, line: MetricLine) -> bool:
        """Take in a line; return whether it matters here."""
        kind, reward = line.get("event"), line.get("reward")
        if kind == "validation" and reward is not None:
            self._validated(int(line["step"]), float(reward), float(line.get("standard_error") or 0.0))
        elif kind == "step":
            if reward is not None:
                self.rewards.append((int(line["step"]), float(reward)))
            for name, measured in _MEASURES.items():
                value = measured(line)
                if value is not None and math.isfinite(value):
                    self.series.setdefault(name, Ends(self.window)).add(value)
        else:
            return False
        return True

    def means(self, name: str) -> tuple[float, float] | None:
        """Return the means of one measure, at the start and now."""
        return self.series[name].means() if name in self.series else None

    def reward_until(self, step: int) -> float | None:
        """Mean training reward of the window that ends at `step`; of the first window when it has no full one."""
        known = [reward for at, reward in self.rewards if at <= step][-self.window :]
        if len(known) < self.window:
            known = [reward for _, reward in self.rewards[: self.window]]
        return math.fsum(known) / len(known) if len(known) == self.window else None

    def _validated(self, step: int, reward: float, error: float) -> None:
        self.validations.append((step, reward, error))
        if self.reference is None or reward > self.reference[0] + self.reference[1]:
            self.reference, self.stale = (reward, error), 0
        else:
            self.stale += 1


def _without_sql(line: MetricLine) -> float | None:
    outcomes: Mapping[str, int] = line.get("outcomes") or {}
    return outcomes.get("no_sql", 0) / sum(outcomes.values()) if sum(outcomes.values()) else None


def _turns(line: MetricLine) -> float | None:
    """Return the mean number of queries run in a rollout."""
    counts: Mapping[str, int] = line.get("turn_counts") or {}
    total = sum(counts.values())
    if not total:
        return measure("turns")(line)
    return sum(int(turns) * count for turns, count in counts.items()) / total


_MEASURES: dict[str, Measure] = {
    "reward": measure("reward"),
    "main_only": share("main_only", of="suites"),
    "select_star": share("select_star"),
    "constant": share("constant"),
    "empty_match": share("empty_matches", of="match"),
    "turns": _turns,
    "length": measure("response_tokens"),
    "entropy": when_trained("entropy"),
    "kl": lambda line: when_trained("kl_start")(line) or None,  # without a reference it is written as 0
    "no_sql": _without_sql,
    "zero_variance": measure("zero_variance_share"),
    "query_seconds": measure("query_seconds_p95"),
}
