"""Run a function on many items in worker processes. Killing a worker costs only the item it works on.

Each worker is a fresh interpreter (`spawn`), so it inherits no connection, lock or thread. It holds two items at most:
the current one and the next. A worker takes the items of one group (one database, say) as long as there are any, so
that its caches help. An idle worker takes from the largest group, so no group waits for one slow worker. When a worker
dies or takes too long, a new one replaces it. The answer to its current item is then a `WorkerLoss`; its next item goes
to another worker. Ctrl-C reaches the caller only. `worker_process` is the worker's side.
"""

from __future__ import annotations

import multiprocessing
import pickle
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from time import perf_counter
from typing import Final, Generic, TypeVar

from sql_reward.errors import SqlRewardError
from sql_reward.scoring.worker_process import (
    MEMORY_BYTES,
    LossReason,
    WorkerLoss,
    cpu_seconds,
    how_it_ended,
    interrupts_blocked,
    serve,
)

Item = TypeVar("Item")
Answer = TypeVar("Answer")

AHEAD: Final = 2
"""Items a worker holds: with the next one at hand it does not wait."""
MAX_AHEAD_BYTES: Final = 16 * 1024
"""Largest item to send to a busy worker; a pipe holds more than this."""
WINDOW: Final = 4096
"""Items to sort into groups at a time. Answers can be out of order by no more than this."""
TICK_S: Final = 0.2
"""Seconds between two looks at workers that send nothing."""
MAX_FAILED_STARTS: Final = 3
"""Workers in a row that end before they are ready, until the run gives up."""


class WorkersFailedError(SqlRewardError):
    """Worker processes end before they are ready; `detail` says how the last one ended."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail

    def __str__(self) -> str:
        return (
            f"no worker process could start: {self.detail}; its own message is on standard error. "
            "A script that starts workers needs `if __name__ == '__main__':` around its work"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long one item may take before its worker is killed. This is far more than any limit inside the worker."""

    cpu_s: float
    """Processor seconds. Only Linux reports them; other systems do not enforce this."""
    wall_s: float
    """Seconds on the clock."""


STARTING: Final = Patience(cpu_s=120.0, wall_s=120.0)
"""How long a worker may take to start."""


def run_in_workers(
    function: Callable[[Item], Answer],
    items: Iterable[Item],
    *,
    workers: int,
    patience: Callable[[Item], Patience],
    group: Callable[[Item], Hashable] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
    memory_bytes: int = MEMORY_BYTES,
) -> Iterator[tuple[int, Answer | WorkerLoss]]:
    """Yield `(position, answer)` for every item, as answers come.

    `function` is called in another interpreter, so it must be importable there (a function of a module, or a
    `functools.partial` of one) and its items and answers picklable. `stop` is called a few times a second; once it
    returns True, the workers end and no more answers come.

    Raises:
        ValueError: fewer than one worker.
        WorkersFailedError: several workers in a row ended before they were ready.
    """
    if workers < 1:
        raise ValueError(f"expected at least one worker, got {workers!r}")
    queue = _Queue(enumerate(items), group)
    pool: list[_Worker[Item, Answer]] = []
    started = failed_starts = 0
    try:
        while not stop():
            for worker in pool:
                worker.fill(queue)
            while len(pool) < workers and (first := queue.take(None)) is not None:
                started += 1
                pool.append(_Worker(function, memory_bytes, first, from_end=started % 2 == 0))
            if not any(worker.held for worker in pool):
                return
            wait([worker.pipe for worker in pool], timeout=TICK_S)
            for worker in tuple(pool):
                yield from worker.answers()
                lost = worker.check(patience)
                if lost is None:
                    continue
                pool.remove(worker)
                worker.end()
                yield from worker.answers()  # what it sent before it ended
                if worker.ready and worker.held:
                    yield worker.held.popleft()[0], lost
                worker.give_back(queue)
                failed_starts = 0 if worker.ready else failed_starts + 1
                if failed_starts >= MAX_FAILED_STARTS:
                    raise WorkersFailedError(lost.detail)
    finally:
        for worker in pool:
            worker.end()


class _Queue(Generic[Item]):
    """The items that no worker holds yet, by group, a window at a time."""

    def __init__(self, items: Iterator[tuple[int, Item]], group: Callable[[Item], Hashable]) -> None:
        self._items = items
        self._group = group
        self._pending: dict[Hashable, deque[tuple[int, Item]]] = {}

    def take(self, previous: Item | None, *, from_end: bool = False) -> tuple[int, Item] | None:
        """The next item of the group of `previous`, or else of the largest group; None when there is no more.

        Two workers in one group take from different ends, so that neighbours stay with one of them.
        """
        if not self._pending:
            for position, item in islice(self._items, WINDOW):
                self._pending.setdefault(self._group(item), deque()).append((position, item))
            if not self._pending:
                return None
        key = None if previous is None else self._group(previous)
        if previous is None or key not in self._pending:
            key = max(self._pending, key=lambda group: len(self._pending[group]))
        members = self._pending[key]
        taken = members.pop() if from_end else members.popleft()
        if not members:
            del self._pending[key]
        return taken

    def give_back(self, position: int, item: Item) -> None:
        """Put this item back, before the others of its group."""
        self._pending.setdefault(self._group(item), deque()).appendleft((position, item))


class _Worker(Generic[Item, Answer]):
    """One process, its pipe, and the items that it has not answered."""

    def __init__(
        self, function: Callable[[Item], Answer], memory_bytes: int, first: tuple[int, Item], *, from_end: bool
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.held: deque[tuple[int, Item]] = deque()
        self.sent = 0
        """How many of these it was sent."""
        self.latest = first[1]
        self.from_end = from_end
        self.process: BaseProcess = context.Process(
            target=serve, args=(function, theirs, memory_bytes), name="sql-reward worker", daemon=True
        )
        with interrupts_blocked():  # an interrupt during its start belongs to the caller
            self.process.start()
        theirs.close()
        self.ready = False
        """Whether it has reported that it can work. Until then it has started no item."""
        self.closed = False
        self.since = perf_counter()
        """When it began its current item; before it is ready, when it was started."""
        self.cpu_then: float | None = None
        self.give(first)

    def give(self, numbered: tuple[int, Item]) -> None:
        if not self.held:
            self._turn_to_next()
        self.held.append(numbered)
        self.latest = numbered[1]
        self.send_on()

    def send_on(self) -> None:
        """Send the next items. One that could fill the pipe waits until the worker reads: sending never blocks."""
        while self.ready and self.sent < len(self.held):
            message = pickle.dumps(self.held[self.sent][1])
            if self.sent and len(message) > MAX_AHEAD_BYTES:
                return
            self.sent += 1
            with suppress(OSError):  # the process is gone: `check` will find out
                self.pipe.send_bytes(message)

    def fill(self, queue: _Queue[Item]) -> None:
        """Give it items until it holds `AHEAD` of them."""
        while len(self.held) < AHEAD and (numbered := queue.take(self.latest, from_end=self.from_end)) is not None:
            self.give(numbered)

    def give_back(self, queue: _Queue[Item]) -> None:
        """Put back the items that it has not begun."""
        while self.held:
            queue.give_back(*self.held.pop())

    def answers(self) -> Iterator[tuple[int, Answer | WorkerLoss]]:
        """The answers that it has sent since the last call."""
        try:
            while not self.closed and self.pipe.poll():
                answer: Answer | WorkerLoss = self.pipe.recv()
                self._turn_to_next()
                if self.ready:
                    self.sent -= 1
                    yield self.held.popleft()[0], answer
                self.ready = True  # its first message says only that it can work
                self.send_on()
        except (EOFError, OSError):
            self.closed = True

    def _turn_to_next(self) -> None:
        self.since = perf_counter()
        self.cpu_then = None

    def check(self, patience: Callable[[Item], Patience]) -> WorkerLoss | None:
        """What to report if the process has ended, or must be ended because of its current item."""
        waited = perf_counter() - self.since
        if self.closed:
            self.process.join(timeout=1.0)  # its pipe closes a moment before it is gone
        if self.closed or not self.process.is_alive():
            return WorkerLoss(reason=LossReason.DIED, detail=how_it_ended(self.process), seconds=waited)
        if not self.held or waited < TICK_S:
            return None
        allowed = patience(self.held[0][1]) if self.ready else STARTING
        used = self._cpu_used()
        if used > allowed.cpu_s:
            detail = f"killed after {used:.1f} s of processor time, outside the reach of its deadline"
            return WorkerLoss(reason=LossReason.OVERRAN, detail=detail, seconds=waited)
        if waited > allowed.wall_s:
            detail = f"killed after {waited:.1f} s without an answer; lower the number of workers or check the storage"
            return WorkerLoss(reason=LossReason.STARVED, detail=detail, seconds=waited)
        return None

    def _cpu_used(self) -> float:
        """Processor seconds since the first look at its current item, so never too many."""
        now = cpu_seconds(self.process.pid)
        if self.cpu_then is None:
            self.cpu_then = now
        return now - self.cpu_then

    def end(self) -> None:
        """Kill the process. Answers that it has sent can still be read."""
        self.process.kill()
        self.process.join()
