"""Which runners still live: each one of the library's sends a heartbeat to the store every ten seconds or so.

A runner that is killed (out of memory, most often) takes its rollout with it. Without a look at its heartbeat that is
noticed only when the rollout's time is over, and when all runners are dead, later still.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import agentlightning as agl  # pyright: ignore[reportMissingTypeStubs]  typed inline, but without a marker

HEARTBEAT_S = 10.0
"""How often a runner of agentlightning 0.3.0 beats, give or take half a second."""


class Pulse:
    """Knows since when each runner has been silent.

    Silence is counted by the clock of who looks, from the first look on: clocks of machines may differ, and what
    happened while nobody looked says nothing. Where no runner has sent a heartbeat yet, because they were told not to
    or have just begun (the first one comes after ten seconds), none is judged.

    Args:
        limit_s: a runner that is silent for longer is dead.
        clock: seconds, never going back.
    """

    def __init__(self, *, limit_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit_s = limit_s
        self._clock = clock
        self._signs: dict[str, tuple[tuple[float | None, ...], float]] = {}
        self._next_look = clock()

    def due(self) -> bool:
        """Whether it is time for another look; a look costs a request to the store."""
        return self._clock() >= self._next_look

    def look(self, workers: Sequence[agl.Worker]) -> list[agl.Worker]:
        """Take note of the store's present knowledge of all runners; returns those that are dead."""
        now = self._clock()
        self._next_look = now + min(HEARTBEAT_S, self.limit_s) / 2
        beating = any(worker.last_heartbeat_time is not None for worker in workers)
        dead: list[agl.Worker] = []
        for worker in workers:
            sign = (
                worker.last_heartbeat_time,
                worker.last_dequeue_time,
                worker.last_busy_time,
                worker.last_idle_time,
            )
            last, since = self._signs.get(worker.worker_id, (None, now))
            if sign != last:
                since = now
            self._signs[worker.worker_id] = (sign, since)
            if beating and now - since > self.limit_s:
                dead.append(worker)
        return dead
