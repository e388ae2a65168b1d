"""Where every random number of a run comes from: the run's seed and the place it is used at.

Nothing here depends on time, process or arrival order, so an interrupted run can be continued with the numbers of an
unbroken one.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence

_BITS = 53  # survives JSON readers that keep numbers as doubles


def sampling_seed(run_seed: int, *, phase: str, step: int, task: int, sample: int) -> int:
    """The seed of one rollout. One seed serves all its turns: the server mixes in the prompt (`noise_seed`)."""
    return _digest(f"{run_seed}/{phase}/{step}/{task}/{sample}".encode())


def noise_seed(seed: int, prompt_ids: Sequence[int]) -> int:
    """The seed of one request, from the caller's seed and the prompt's tokens.

    Two turns of one rollout thus draw independently, and a retried request draws the same again.
    """
    return _digest(f"{seed}:{','.join(map(str, prompt_ids))}".encode())


class TaskOrder:
    """Endless shuffled passes over `size` tasks; each pass sees every task once.

    `consumed` is the whole state.
    """

    def __init__(self, size: int, *, seed: int, consumed: int = 0) -> None:
        if size < 1:
            raise ValueError("there must be at least one task to draw from")
        self.size = size
        self.seed = seed
        self.consumed = consumed

    def take(self, count: int) -> list[int]:
        """The next `count` task indices; repeats one only when a pass ends within them."""
        first, self.consumed = self.consumed, self.consumed + count
        return [self._at(position) for position in range(first, self.consumed)]

    def _at(self, position: int) -> int:
        epoch, offset = divmod(position, self.size)
        return self._epoch(epoch)[offset]

    def _epoch(self, epoch: int) -> list[int]:
        order = list(range(self.size))
        random.Random(f"{self.seed}/{epoch}").shuffle(order)  # noqa: S311  a reproducible order, not a secret
        return order


def _digest(data: bytes) -> int:
    return int.from_bytes(hashlib.sha256(data).digest()[:8], "big") >> (64 - _BITS)
