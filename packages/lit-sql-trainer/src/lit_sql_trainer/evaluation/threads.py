"""Runs work in a few threads with back-pressure at both ends: no thread begins an item whose result nobody can take."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

POLL_S = 0.1


class _Crash:
    """An error of a worker, on its way to the caller of `over`."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


class Crew(Generic[T, R]):
    """Threads that turn items into results and yield each result when it is done.

    Only a free thread takes an item, and a thread that cannot hand over its result waits, so at most twice `workers`
    items are under way. When `stop` says yes, the threads begin no further item and finish those under way. The
    threads are daemons: a program that must end at once does not wait for them.
    """

    def __init__(self, do: Callable[[T], R], *, workers: int, stop: Callable[[], bool]) -> None:
        self._do = do
        self._workers = workers
        self._stop = stop
        self._closed = threading.Event()
        self._lock = threading.Lock()

    def over(self, items: Iterable[T]) -> Iterator[R]:
        """Yield the results in the order in which they are done; raise an error of `do`."""
        source = iter(items)
        results: queue.Queue[R | _Crash | None] = queue.Queue(maxsize=self._workers)
        threads = [
            threading.Thread(target=self._work, args=(source, results), name=f"crew-{number}", daemon=True)
            for number in range(self._workers)
        ]
        for thread in threads:
            thread.start()
        working = len(threads)
        try:
            while working:
                try:
                    result = results.get(timeout=POLL_S)  # a bare get does not react to a signal on every system
                except queue.Empty:
                    continue
                if result is None:
                    working -= 1
                elif isinstance(result, _Crash):
                    raise result.error
                else:
                    yield result
        finally:
            self._closed.set()

    def _work(self, source: Iterator[T], results: queue.Queue[R | _Crash | None]) -> None:
        try:
            while not self._closed.is_set() and not self._stop():
                with self._lock:
                    try:
                        item = next(source)
                    except StopIteration:
                        break
                self._hand_over(self._do(item), results)
        except BaseException as error:  # noqa: BLE001  `over` raises it again
            self._hand_over(_Crash(error), results)
        self._hand_over(None, results)

    def _hand_over(self, result: R | _Crash | None, results: queue.Queue[R | _Crash | None]) -> None:
        while not self._closed.is_set():
            try:
                results.put(result, timeout=POLL_S)
            except queue.Full:
                continue
            return
