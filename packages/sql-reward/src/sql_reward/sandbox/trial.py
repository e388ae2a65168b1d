"""Compile a suspicious statement in a process that can be ended, before it is compiled in this one.

SQLite cannot be interrupted while it compiles, so a statement that could take long (`sandbox.growth`) is compiled by a
worker first. The worker's time is processor time and its memory is bounded, so its answer depends on the statement
alone. Workers start when they are needed, are kept for the next statement, and end with this process.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from sql_reward.errors import MachineError, StalledError
from sql_reward.verdict import Outcome

MAX_IDLE: Final = 2
"""Workers kept while none is needed."""
MAX_REMEMBERED: Final = 512
"""Statements whose cost of compiling is remembered."""
_PROGRAM: Final = Path(__file__).with_name("trial_worker.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What compiling a statement elsewhere showed."""

    refused: Outcome | None
    """TIMEOUT or TOO_LARGE if it took all the seconds or the memory there was."""
    seconds: float
    """Processor seconds that it took now; 0 if the answer was remembered."""


class _Died(Exception):
    """The worker ended without an answer; the argument is its exit code."""


class _Worker:
    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )
        assert self.process.stdin is not None and self.process.stdout is not None, "both are pipes"
        self.pipes: tuple[IO[bytes], IO[bytes]] = (self.process.stdin, self.process.stdout)
        self.answers = select.poll()
        self.answers.register(self.process.stdout, select.POLLIN | select.POLLHUP)

    def ask(self, request: str, *, wait_s: float) -> str:
        """The line it answers; '' if there is none within `wait_s` on the wall clock."""
        try:
            self.pipes[0].write(request.encode() + b"\n")
        except OSError as error:
            raise _Died(self.process.wait()) from error
        if not self.answers.poll(1000 * wait_s):
            return ""
        answer = self.pipes[1].readline()
        if not answer.endswith(b"\n"):
            raise _Died(self.process.wait())
        return answer.decode()

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.forget()

    def forget(self) -> None:
        for pipe in self.pipes:
            pipe.close()


class _Pool:
    """Idle workers and remembered answers of this process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.idle: list[_Worker] = []
        self.costs: OrderedDict[tuple[int, str], float] = OrderedDict()

    def take(self) -> _Worker:
        with self.lock:
            if self.idle:
                return self.idle.pop()
        return _Worker()

    def give(self, worker: _Worker) -> None:
        with self.lock:
            if len(self.idle) < MAX_IDLE:
                self.idle.append(worker)
                return
        worker.end()

    def remember(self, key: tuple[int, str], seconds: float) -> None:
        with self.lock:
            self.costs[key] = seconds
            while len(self.costs) > MAX_REMEMBERED:
                self.costs.popitem(last=False)


_pool = _Pool()


def try_compiling(path: Path, identity: object, schema_key: int, sql: str, *, seconds: float, wait_s: float) -> Trial:
    """Compile the statement elsewhere within these processor seconds.

    `schema_key` is equal for databases of equal schema, where compiling takes equally long.

    Raises:
        StalledError: there was no answer within `wait_s` on the wall clock.
        MachineError: no worker can be started here.
    """
    known = _pool.costs.get((schema_key, sql))
    if known is not None and known < seconds:
        return Trial(refused=None, seconds=0.0)
    if seconds <= 0:
        return Trial(refused=Outcome.TIMEOUT, seconds=0.0)
    request = json.dumps([str(path.absolute()), repr(identity), seconds, sql])
    try:
        answer = _ask(path, request, wait_s=wait_s)
    except _Died as death:
        if death.args[0] == -signal.SIGPROF:
            return Trial(refused=Outcome.TIMEOUT, seconds=seconds)
        raise MachineError(path, f"the process that compiles statements ended with code {death.args[0]}") from death
    except OSError as error:
        raise MachineError(path, f"no process can be started to compile a statement: {error}") from error
    word, used = answer.split()
    if word == "memory":
        return Trial(refused=Outcome.TOO_LARGE, seconds=float(used))
    _pool.remember((schema_key, sql), float(used))
    return Trial(refused=None, seconds=float(used))


def _ask(path: Path, request: str, *, wait_s: float) -> str:
    worker = _pool.take()
    try:
        try:
            answer = worker.ask(request, wait_s=wait_s)
        except _Died as death:
            if death.args[0] == -signal.SIGPROF:
                raise
            worker.forget()
            worker = _Worker()  # a kept one may have been ended by others meanwhile
            answer = worker.ask(request, wait_s=wait_s)
        if not answer:
            raise StalledError(path, wait_s)
    except BaseException:
        worker.end()
        raise
    _pool.give(worker)
    return answer


def _end_all() -> None:
    while _pool.idle:
        _pool.idle.pop().end()


def _after_fork() -> None:
    global _pool
    for worker in _pool.idle:
        worker.process.returncode = 0  # it is the parent's child, not ours to wait for
        worker.forget()
    _pool = _Pool()


atexit.register(_end_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
