"""What a worker process does, and what the system reports about it to others."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from time import perf_counter
from typing import Final, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")

INTERRUPTS: Final = (signal.SIGINT, signal.SIGTERM)
MEMORY_BYTES: Final = 1 << 30
"""Address space a worker may take in addition to what it starts with."""


class LossReason(StrEnum):
    """Why an item has no answer."""

    DIED = "died"
    """The process ended by itself, or something else killed it, perhaps because memory ran out."""
    OVERRAN = "overran"
    """It was killed because it used all its processor time. The item caused that, at any load."""
    STARVED = "starved"
    """It was killed after its wall-clock time and before it used its processor time. The machine caused that."""
    RAISED = "raised"
    """The function raised an exception: a fault of the program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLoss:
    """Takes the place of an answer."""

    reason: LossReason
    detail: str
    seconds: float
    """Wall-clock seconds since the worker began the item."""


def serve(function: Callable[[Item], Answer], pipe: Connection, memory_bytes: int) -> None:
    """Answer items until the caller closes its end of the pipe."""
    for number in INTERRUPTS:  # the whole group gets them, and the caller acts on them
        signal.signal(number, signal.SIG_IGN)
    _bound_memory(memory_bytes)
    with suppress(EOFError, OSError):  # the caller is gone
        pipe.send(None)
        while True:
            item: Item = pipe.recv()
            started = perf_counter()
            answer: Answer | WorkerLoss
            try:
                answer = function(item)
            except Exception as error:  # noqa: BLE001  whatever it is, it is reported with its item, and the worker goes on
                detail = f"{type(error).__name__}: {error}"
                answer = WorkerLoss(reason=LossReason.RAISED, detail=detail, seconds=perf_counter() - started)
            pipe.send(answer)


def _bound_memory(memory_bytes: int) -> None:
    """Make allocations fail beyond the bound, so that the worker can report it. Has an effect on Linux only."""
    if not sys.platform.startswith("linux"):
        return
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    bound = pages * resource.getpagesize() + memory_bytes
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard == resource.RLIM_INFINITY or bound < hard:
        resource.setrlimit(resource.RLIMIT_AS, (bound, hard))


def cpu_seconds(pid: int | None) -> float:
    """Processor time of a process so far; 0 where the system does not report it."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def how_it_ended(process: BaseProcess) -> str:
    code = process.exitcode
    if code is not None and code < 0:
        with suppress(ValueError):
            return f"the worker process was ended by {signal.Signals(-code).name}"
    return f"the worker process ended with exit code {code}"


@contextmanager
def interrupts_blocked() -> Generator[None]:
    """Block interrupts in this thread and in processes that it starts meanwhile; the caller gets them afterwards."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
