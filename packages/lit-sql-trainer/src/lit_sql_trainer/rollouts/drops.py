"""Rollouts lost to our own failures: counted, and too many of them stop the run."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

from lit_sql_trainer.errors import FailureLimitError


@dataclass(slots=True, kw_only=True)
class DropWindow:
    """Remembers how the last `size` rollouts ended.

    The limit is a share of the whole window, full or not: with 2 % of 256 the sixth lost rollout stops a run whose
    other rollouts were clean, and a run in which everything fails stops after six.
    """

    limit: float
    size: int
    dropped: int = 0
    """Over the whole run."""
    seen: int = 0
    """Rollouts over the whole run, dropped ones included."""
    _recent: deque[str] = field(default_factory=deque[str])

    def kept(self) -> None:
        """A rollout that counts."""
        self._see("")

    def lost(self, reason: str) -> None:
        """A rollout that does not.

        Raises:
            FailureLimitError: with this one, more than `limit` of the window are lost.
        """
        self._see(reason or "no reason given")
        self.dropped += 1
        reasons = Counter(filter(None, self._recent))
        if reasons.total() > self.limit * self.size:
            listed = "; ".join(f"{count} × {reason}" for reason, count in reasons.most_common(3))
            raise FailureLimitError(
                f"{reasons.total()} of the last {len(self._recent)} rollouts failed for reasons that are not the "
                f"policy's (limit {self.limit:.0%} of {self.size}): {listed}. Training on the rest would train on an "
                f"outage; repair the cause and resume"
            )

    def _see(self, reason: str) -> None:
        self.seen += 1
        self._recent.append(reason)
        if len(self._recent) > self.size:
            self._recent.popleft()
