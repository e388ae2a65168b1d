"""Decode requests that arrive together in one batch, on a thread of its own."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace

from lit_sql_trainer.local.generate import Reply, Request


@dataclass(slots=True, kw_only=True)
class BatchCounters:
    """Work done since the start."""

    replies: int = 0
    batches: int = 0
    tokens: int = 0
    ahead: int = 0
    """Requests whose reply had been sampled before they came; see `Batcher.expect`."""
    busy_s: float = 0.0
    """Time in which the model worked."""


@dataclass(slots=True)
class _Job:
    request: Request
    reply: Future[Reply]


class Batcher:
    """Collects requests for a moment and samples them together.

    Args:
        sample: replies in the order of the requests, like `Generator`.
        max_batch: requests decoded together; those sampled ahead come on top.
        window_s: how long the first request of a batch waits for company.
    """

    def __init__(
        self, sample: Callable[[Sequence[Request]], list[Reply]], *, max_batch: int = 128, window_s: float = 0.004
    ) -> None:
        self.sample = sample
        self.max_batch = max_batch
        self.window_s = window_s
        self.weights = threading.Lock()
        """Held while a batch is decoded; hold it to change the model."""
        self.counters = BatchCounters()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._groups: dict[int, tuple[int, ...]] = {}
        self._ahead: dict[Request, Reply] = {}
        self._thread: threading.Thread | None = None
        self._open = threading.Lock()
        self._stopped = False

    def start(self) -> None:
        """Begin to decode."""
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="local-decode", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End after the batches that are already waiting, which fail at once where the sampler was told to abort.

        A request that comes later fails too: nobody would answer it. Safe to call twice.
        """
        if self._thread is not None:
            with self._open:
                self._stopped = True
                self._jobs.put(None)
            self._thread.join(timeout=30.0)
            self._thread = None

    def submit(self, request: Request) -> Future[Reply]:
        """The reply, as a future; a failure of the model is its exception."""
        reply: Future[Reply] = Future()
        ready = self._ahead.pop(request, None)
        if ready is not None:
            self.counters.ahead += 1
            reply.set_result(ready)
            return reply
        with self._open:
            if self._stopped:
                reply.set_exception(RuntimeError("the server has stopped"))
            else:
                self._jobs.put(_Job(request, reply))
        return reply

    def expect(self, groups: Iterable[Sequence[int]]) -> None:
        """Announce groups of seeds, the seeds of each about to be used with one and the same prompt.

        When the first request with a seed of a group comes, the replies for the others are sampled beside it: a few
        more rows of a batch cost little, and a runner that works on one rollout at a time never fills a batch. A
        reply depends on its own prompt and seed alone, so this changes when it is computed and nothing else.
        """
        for group in groups:
            seeds = tuple(group)
            self._groups.update(dict.fromkeys(seeds, seeds))

    def forget(self) -> None:
        """Drop what was sampled ahead or announced and not asked for; needed whenever the weights change."""
        self._ahead.clear()
        self._groups.clear()

    def _run(self) -> None:
        while (batch := self._next()) is not None:
            batch = [job for job in batch if job.reply.set_running_or_notify_cancel()]  # its client may have gone
            if not batch:
                continue
            asked = [job.request for job in batch]
            started = time.monotonic()
            try:
                with self.weights:
                    further = self._companions(asked)
                    replies = self.sample([*asked, *further])
                    self._ahead.update(zip(further, replies[len(asked) :], strict=True))
            except Exception as error:  # noqa: BLE001  the thread must live on; each caller gets the reason
                for job in batch:
                    job.reply.set_exception(error)
                continue
            self.counters.busy_s += time.monotonic() - started
            self.counters.batches += 1
            self.counters.replies += len(replies)
            self.counters.tokens += sum(len(reply.token_ids) for reply in replies)
            for job, reply in zip(batch, replies, strict=False):
                job.reply.set_result(reply)

    def _companions(self, asked: Sequence[Request]) -> list[Request]:
        """Requests that are about to come with the prompt of one in `asked`; a group is used once."""
        present = set(asked)
        further: list[Request] = []
        for request in asked:
            group = () if request.seed is None else self._groups.get(request.seed, ())
            for seed in group:
                self._groups.pop(seed, None)
                companion = replace(request, seed=seed)
                if companion not in present:
                    further.append(companion)
        return further

    def _next(self) -> list[_Job] | None:
        first = self._jobs.get()
        if first is None:
            return None
        batch = [first]
        deadline = time.monotonic() + self.window_s
        while len(batch) < self.max_batch:
            try:
                job = self._jobs.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                break
            if job is None:
                self._jobs.put(None)  # the end, once this batch is done
                break
            batch.append(job)
        return batch
