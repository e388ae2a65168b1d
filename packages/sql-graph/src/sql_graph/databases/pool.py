"""Idle connections for reuse: shared by threads, never by processes, never across a change of the database."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")
MAX_IDLE = 8

_inherited: list[Any] = []
"""Connections of a parent process. They are kept here unused: closing one would end the parent's session."""


class Pool(Generic[T]):
    """Connections that nobody uses at the moment, all of one generation of the database."""

    def __init__(self, close: Callable[[T], None]) -> None:
        self._close = close
        self._generation: object = None
        self._reset()

    def take(self, generation: object) -> T | None:
        """An idle connection, or None. Connections of another generation are closed."""
        self._notice_fork()
        stale: list[T] = []
        with self._lock:
            if generation != self._generation:
                stale, self._idle, self._generation = self._idle, [], generation
            found = self._idle.pop() if self._idle else None
        self._close_all(stale)
        return found

    def give(self, connection: T, generation: object) -> None:
        """Take back a connection that still works and belongs to `generation`."""
        self._notice_fork()
        with self._lock:
            if generation == self._generation and len(self._idle) < MAX_IDLE:
                self._idle.append(connection)
                return
        self._close(connection)

    def clear(self) -> None:
        """Close all idle connections."""
        self._notice_fork()
        with self._lock:
            idle, self._idle = self._idle, []
        self._close_all(idle)

    def _close_all(self, connections: list[T]) -> None:
        for connection in connections:
            self._close(connection)

    def _notice_fork(self) -> None:
        if self._pid != os.getpid():
            _inherited.extend(self._idle)
            self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._idle: list[T] = []
        self._lock = threading.Lock()  # a new one: a thread of the parent may hold the old one for ever
