"""Have the runners do a list of rollouts, and read what became of each.

A rollout either becomes an `Episode`, with a reward and the exact tokens of its trained calls, or is dropped with a
reason. Nothing in between: no reward is made up for a rollout that failed.
"""

from __future__ import annotations

import asyncio
import math
import multiprocessing
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, cast

import agentlightning as agl  # pyright: ignore[reportMissingTypeStubs]  typed inline, but without a marker

from lit_sql_trainer.errors import RolloutError, RunError
from lit_sql_trainer.rollouts.canary import canary, has_tokens
from lit_sql_trainer.rollouts.drops import DropWindow
from lit_sql_trainer.rollouts.episodes import Collected, DroppedRollout, Episode, Sampled
from lit_sql_trainer.rollouts.plan import PlannedRollout
from lit_sql_trainer.rollouts.pulse import Pulse
from lit_sql_trainer.rollouts.wire import KEEPS_ALIVE, SAMPLING_SEED

_FINISHED: tuple[agl.RolloutStatus, ...] = ("succeeded", "failed", "cancelled")
_UNDER_WAY: tuple[agl.RolloutStatus, ...] = ("preparing", "running")


class GivenUp(Exception):
    """Rollouts are left undone because somebody asked for it; holds how many."""


class Adapter(Protocol):
    """From the spans of a rollout to its trained calls."""

    def adapt(self, source: Sequence[agl.Span], /) -> list[agl.Triplet]: ...


class Ledger(Protocol):
    """Where the server keeps what it sampled."""

    def take(self, response_id: str) -> Sampled | None: ...


class Limits(Protocol):
    """How long a collector waits, in seconds."""

    @property
    def rollout_timeout_s(self) -> float: ...
    @property
    def runner_timeout_s(self) -> float: ...
    @property
    def stall_timeout_s(self) -> float: ...
    @property
    def poll_interval_s(self) -> float: ...


@dataclass(kw_only=True)
class Collector:
    """Queues rollouts in the store and gathers their results."""

    store: agl.LightningStore
    adapter: Adapter
    ledger: Ledger
    settings: Limits
    drops: DropWindow
    resources_id: str
    work_done: Callable[[], int] | None = None
    """A number that grows as long as the model works on replies, where somebody knows it. Then the time limits measure
    silence: a rollout is given up when for so long none ended and the number stood still. Without it a rollout may take
    so long from its start to its end."""
    give_up: Callable[[bool], bool] = lambda train: False
    """Asked again and again, with whether the rollouts train; when it says yes they are left undone."""
    proven: bool = field(init=False, default=False)
    """Whether some rollout has shown that traces reach us with their tokens."""

    async def collect(self, plan: Sequence[PlannedRollout], *, train: bool, step: int) -> Collected:
        """Do the planned rollouts and wait for all of them.

        Raises:
            CanaryError: the first rollout that succeeded left no tokens.
            FailureLimitError: too many rollouts were dropped.
            GivenUp: `give_up` said so.
            RunError: all runners are dead, or no rollout ended for `stall_timeout_s`.
        """
        started = time.monotonic()
        result = Collected()
        pulse = Pulse(limit_s=self.settings.runner_timeout_s)
        pending = await self._enqueue(plan, train=train, step=step)
        last_progress = time.monotonic()
        work = self.work_done and self.work_done()
        while pending:
            if self.give_up(train):
                raise GivenUp(len(pending))
            # This query also makes the store look for rollouts that are past their time, which it does only when asked.
            ended = await self.store.query_rollouts(status_in=_FINISHED, rollout_id_in=list(pending))
            if ended:
                last_progress = time.monotonic()
                for rollout in ended:
                    await self._read(rollout, pending.pop(rollout.rollout_id), result, train=train)
                result.adapt_seconds += time.monotonic() - last_progress
            elif self.work_done is not None and (done := self.work_done()) != work:
                work, last_progress = done, time.monotonic()
            elif time.monotonic() - last_progress > self.settings.stall_timeout_s:
                raise RunError(
                    f"no rollout ended for {self.settings.stall_timeout_s:.0f} s and {len(pending)} are open: have the "
                    f"runner processes died (out of memory)? See the library's log, then resume"
                )
            elif pulse.due():
                await self._give_up_dead(pulse, pending)
                if self.work_done is not None and time.monotonic() - last_progress > self.settings.rollout_timeout_s:
                    await self._give_up_silent(pending)
            if pending:
                await asyncio.sleep(self.settings.poll_interval_s)
        result.episodes.sort(key=lambda episode: (episode.group, episode.sample))
        result.seconds = time.monotonic() - started
        return result

    async def _give_up_dead(self, pulse: Pulse, pending: Mapping[str, PlannedRollout]) -> None:
        """End the rollouts that died with their runner; the next query of the store finds them."""
        workers = await self.store.query_workers()
        dead = pulse.look(workers)
        if dead and self.work_done is not None and len(multiprocessing.active_children()) >= len(workers):
            return  # the runners are our children here: on a busy machine one may only be late to say that it lives
        if dead and len(dead) == len(workers):
            raise RunError(
                f"none of {len(dead)} runners has shown a sign of life for {pulse.limit_s:g} s and {len(pending)} "
                f"rollouts are open: have their processes died (out of memory)? See the library's log, then resume"
            )
        for worker in dead:
            rollout_id, attempt_id = worker.current_rollout_id, worker.current_attempt_id
            if rollout_id is not None and attempt_id is not None and rollout_id in pending:
                await self.store.update_attempt(rollout_id, attempt_id, status="unresponsive")

    async def _give_up_silent(self, pending: Mapping[str, PlannedRollout]) -> None:
        """End the rollouts that are under way; the next query of the store finds them."""
        for rollout in await self.store.query_rollouts(status_in=_UNDER_WAY, rollout_id_in=list(pending)):
            await self.store.update_attempt(rollout.rollout_id, "latest", status="timeout")

    def resources_of(self, planned: PlannedRollout) -> str:
        """Where a rollout finds its model; one place here, several where several servers share the work."""
        return self.resources_id

    def metadata_of(self, planned: PlannedRollout, *, step: int) -> dict[str, object]:
        """What travels with a rollout to the agent."""
        return {
            SAMPLING_SEED: planned.seed,
            KEEPS_ALIVE: self.work_done is not None,
            "step": step,
            "task": planned.task,
            "sample": planned.sample,
        }

    async def _enqueue(self, plan: Sequence[PlannedRollout], *, train: bool, step: int) -> dict[str, PlannedRollout]:
        # One rollout of each group first: runners then ask for different groups, and the server samples each one once.
        ordered = sorted(plan, key=lambda planned: (planned.sample, planned.group))
        limit_s = None if self.work_done is not None else self.settings.rollout_timeout_s
        requests = [
            agl.EnqueueRolloutRequest(
                input=planned.row,
                mode="train" if train else "val",
                resources_id=self.resources_of(planned),
                config=agl.RolloutConfig(timeout_seconds=limit_s),
                metadata=self.metadata_of(planned, step=step),
            )
            for planned in ordered
        ]  # fmt: skip
        rollouts = await self.store.enqueue_many_rollouts(requests)
        return {rollout.rollout_id: planned for rollout, planned in zip(rollouts, ordered, strict=True)}

    async def _read(self, rollout: agl.Rollout, planned: PlannedRollout, result: Collected, *, train: bool) -> None:
        spans = list(await self.store.query_spans(rollout.rollout_id, attempt_id="latest"))
        await forget_spans(self.store, rollout.rollout_id)
        try:
            if rollout.status != "succeeded":
                raise RolloutError(self._failure(rollout, spans))
            triplets = self.adapter.adapt(spans) if spans else []
            if not self.proven:
                canary(spans, triplets, active_agent=getattr(self.adapter, "agent_match", None))
                self.proven = True
            reward = _reward(spans)
            calls = tuple(self._sampled(triplet) for triplet in triplets if has_tokens(triplet)) if train else ()
            if train and not calls:
                raise RolloutError("no trained model call left its tokens in the trace")
        except RolloutError as error:
            reason = str(error)
            result.dropped.append(
                DroppedRollout(
                    group=planned.group, sample=planned.sample, rollout_id=rollout.rollout_id, reason=reason
                )
            )  # fmt: skip
            self.drops.lost(reason)
            return
        self.drops.kept()
        result.episodes.append(
            Episode(
                group=planned.group, sample=planned.sample, rollout_id=rollout.rollout_id, reward=reward, calls=calls
            )
        )  # fmt: skip

    def _sampled(self, triplet: agl.Triplet) -> Sampled:
        """What the server sampled for a traced call; the trace must agree with it token by token."""
        response_id = cast("str", triplet.metadata.get("response_id"))  # no ledger knows None
        sampled = self.ledger.take(response_id)
        if sampled is None:
            raise RolloutError(f"the trace names a reply that the server does not know: {response_id!r}")
        traced = (triplet.prompt["token_ids"], triplet.response["token_ids"])
        if traced != (list(sampled.prompt_ids), list(sampled.token_ids)):
            raise RolloutError("the trace holds other tokens than the server sampled")
        return sampled

    def _failure(self, rollout: agl.Rollout, spans: Sequence[agl.Span]) -> str:
        attempt: agl.Attempt | None = getattr(rollout, "attempt", None)
        if attempt is not None and attempt.status == "timeout":
            return f"timeout after {self.settings.rollout_timeout_s:g} s"
        if attempt is not None and attempt.status == "unresponsive":
            return f"its runner showed no sign of life for {self.settings.runner_timeout_s:g} s"
        for span in reversed(spans):
            if span.status.status_code == "ERROR" and span.status.description:
                return span.status.description.splitlines()[0][:200]
            message = _exception(span.attributes)
            if message:
                return message
        return f"rollout {rollout.status}; the library's log has the traceback"


def _reward(spans: Sequence[agl.Span]) -> float:
    reward = agl.find_final_reward(spans)
    if reward is None or not math.isfinite(reward):
        raise RolloutError(f"the agent returned no usable reward: {reward!r}")
    return float(reward)


def _exception(attributes: Mapping[str, object]) -> str:
    return str(attributes.get("exception.message") or "").partition("\n")[0][:200]


async def forget_spans(store: agl.LightningStore, rollout_id: str) -> None:
    """Free the trace of a rollout that nobody will ask about again.

    The in-memory store keeps every span until a memory limit is reached and then drops the oldest rollouts, finished
    or not. A step of training has no use for its traces once they are triplets, so they go at once. A store of
    another kind is left alone: it keeps its data elsewhere.
    """
    inner = getattr(store, "store", store)  # the strategy wraps the store in an HTTP server
    if not isinstance(inner, agl.InMemoryLightningStore):
        return
    labels = ["rollouts", "spans"]
    async with inner.collections.atomic(mode="rw", labels=labels) as collections:  # pyright: ignore[reportArgumentType]  a list of str is not a list of literals
        # Its own eviction also corrects the store's account of bytes; there is no public call for one rollout.
        await inner._evict_spans_for_rollout(collections, rollout_id)  # pyright: ignore[reportPrivateUsage]
