"""Let statements run side by side, or one of them alone.

SQLite has one memory limit for the whole process. A statement that meets it beside others may have met theirs, so it is
asked again while no other runs.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Generator
from contextlib import contextmanager


class Gate:
    """Knows who is inside. Whoever wants to be alone waits for the others and keeps new ones out."""

    def __init__(self) -> None:
        self._reset()
        os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:  # in a forked process nobody is inside, whatever the parent's threads do
        self._inside: set[object] = set()
        self._reserved = False
        self._owner: int | None = None
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)

    # Adding to a set is one step for all threads, so the ordinary way in and out needs no lock: who goes in shows
    # itself before it looks whether somebody wants to be alone, and who wants to be alone says so before it looks who
    # is inside.

    def enter(self, who: object) -> None:
        """Go in beside others; `who` is not inside yet."""
        self._inside.add(who)
        if self._reserved:
            self._wait_outside(who)

    def leave(self, who: object) -> None:
        """Go out again."""
        self._inside.discard(who)
        if self._reserved:
            with self._changed:
                self._changed.notify_all()

    def _wait_outside(self, who: object) -> None:
        with self._changed:
            self._inside.discard(who)
            self._changed.notify_all()
            while self._reserved:
                self._changed.wait()
            self._inside.add(who)

    @contextmanager
    def alone(self) -> Generator[None]:
        """Be inside while nobody else is. Not to be asked for by who has gone in beside others."""
        if self._owner == threading.get_ident():  # it is alone already
            yield
            return
        with self._changed:
            while self._reserved:
                self._changed.wait()
            self._reserved = True
            while self._inside:
                self._changed.wait()
            self._owner = threading.get_ident()
        try:
            yield
        finally:
            with self._changed:
                self._owner = None
                self._reserved = False
                self._changed.notify_all()


GATE = Gate()
"""The one of this process."""
