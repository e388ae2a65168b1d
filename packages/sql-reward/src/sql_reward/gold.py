"""Remember what was judged: gold results per database file, and verdicts of predictions that repeat.

In GRPO the rollouts of one task share their gold query, and many repeat one another's SQL. A changed database file is
another database here, so nothing goes stale.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Final

from sql_reward.errors import LimitsError

ENTRY_BYTES: Final = 1_000
"""What an entry costs besides its rows, roughly."""


class GoldCache:
    """A bounded memory that any number of threads may share; the entry unused for longest goes first.

    Give one to `judge` and keep it for as long as the same databases are judged on. Two threads that miss the same
    entry at the same moment both do the work. A query that calls random() or reads the clock is remembered like any
    other.
    """

    def __init__(self, *, max_bytes: int = 256 * 1024 * 1024) -> None:
        if max_bytes <= 0:
            raise LimitsError("max_bytes", max_bytes, "positive", "leave it out for the default")
        self.max_bytes = max_bytes
        """Memory for all entries, as estimated while fetching."""
        self.hits = 0
        self.misses = 0
        self._bytes = 0
        self._entries: OrderedDict[Hashable, tuple[object, int]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Hashable) -> object | None:
        """What was put under this key, None if nothing was or it had to go."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                self.misses += 1
                return None
            self.hits += 1
            self._entries.move_to_end(key)
            return entry[0]

    def put(self, key: Hashable, value: object, *, size_bytes: int = 0) -> None:
        """Remember a value; one too large for the whole memory is not kept."""
        size = size_bytes + ENTRY_BYTES
        if size > self.max_bytes:
            return
        with self._lock:
            replaced = self._entries.pop(key, None)
            self._bytes += size - (replaced[1] if replaced else 0)
            self._entries[key] = (value, size)
            while self._bytes > self.max_bytes:
                self._bytes -= self._entries.popitem(last=False)[1][1]

    def __getstate__(self) -> dict[str, int]:
        """A copy sent to another process starts empty."""
        return {"max_bytes": self.max_bytes}

    def __setstate__(self, state: dict[str, int]) -> None:
        self.__init__(max_bytes=state["max_bytes"])
