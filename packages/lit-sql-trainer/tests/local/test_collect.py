"""What becomes of a rollout, on the library's real store with a scripted runner."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the `cpu` dependency group")
import agentlightning as agl

from lit_sql_trainer.errors import CanaryError, FailureLimitError, RunError
from lit_sql_trainer.rollouts import Collected, DropWindow, PlannedRollout, Sampled
from lit_sql_trainer.rollouts.collect import Collector, GivenUp
from lit_sql_trainer.rollouts.pulse import Pulse
from lit_sql_trainer.rollouts.wire import SAMPLING_SEED

CALL = Sampled(prompt_ids=(1, 2), token_ids=(3, 4), logprobs=(-0.1, -0.2))
Behaviour = Callable[[agl.LightningStore, agl.AttemptedRollout], Coroutine[Any, Any, None]]


@dataclass(frozen=True)
class Waits:
    """Shorter than a run may set them."""

    rollout_timeout_s: float = 60.0
    runner_timeout_s: float = 60.0
    stall_timeout_s: float = 60.0
    poll_interval_s: float = 0.01


class Ledger:
    """Knows one reply per rollout, under the rollout's id."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    def take(self, response_id: str) -> Sampled | None:
        self.taken.append(response_id)
        return None if response_id.startswith("unknown") else CALL


async def span(store: agl.LightningStore, rollout: agl.AttemptedRollout, name: str, **attributes: Any) -> None:
    sequence = await store.get_next_span_sequence_id(rollout.rollout_id, rollout.attempt.attempt_id)
    await store.add_span(
        agl.Span.from_attributes(
            name=name,
            attributes=attributes,
            rollout_id=rollout.rollout_id,
            attempt_id=rollout.attempt.attempt_id,
            sequence_id=sequence,
            start_time=float(sequence),
            end_time=float(sequence) + 0.5,
        )
    )


async def finish(store: agl.LightningStore, rollout: agl.AttemptedRollout, *, reward: float | None = None) -> None:
    if reward is not None:
        core = agl.emit_reward(reward, propagate=False)
        await span(store, rollout, core.name, **core.attributes)
    await store.update_attempt(rollout.rollout_id, rollout.attempt.attempt_id, status="succeeded")


async def call(
    store: agl.LightningStore, rollout: agl.AttemptedRollout, *, reply: str = "", tokens: tuple[int, ...] = (3, 4)
) -> None:
    await span(
        store,
        rollout,
        "openai.chat.completion",
        **{
            "prompt_token_ids": [1, 2],
            "response_token_ids": list(tokens),
            "gen_ai.response.id": reply or rollout.rollout_id,
        },
    )


async def clean(store: agl.LightningStore, rollout: agl.AttemptedRollout) -> None:
    await call(store, rollout)
    await finish(store, rollout, reward=0.25)


def collect(
    behaviours: list[Behaviour],
    *,
    train: bool = True,
    max_dropped_share: float = 0.5,
    work_done: Callable[[], int] | None = None,
    give_up: Callable[[bool], bool] = lambda train: False,
    **waits: float,
) -> tuple[Collected, Collector]:
    """Do one rollout per behaviour, one after the other, on a store of its own."""

    async def main() -> tuple[Collected, Collector]:
        store = agl.InMemoryLightningStore(thread_safe=True, scan_debounce_seconds=0.0)
        resources = await store.add_resources({})
        collector = Collector(
            store=store,
            adapter=agl.TracerTraceToTriplet(_skip_empty_token_spans=True),
            ledger=Ledger(),
            settings=Waits(**waits),
            drops=DropWindow(limit=max_dropped_share, size=20),
            resources_id=resources.resources_id,
            work_done=work_done,
            give_up=give_up,
        )
        plan = [
            PlannedRollout(group=number, task=number, sample=0, row={"number": number}, seed=100 + number)
            for number in range(len(behaviours))
        ]

        async def runner() -> None:
            done = 0
            while done < len(behaviours):
                rollout = await store.dequeue_rollout()
                if rollout is None:
                    await asyncio.sleep(0.005)
                    continue
                assert rollout.metadata is not None
                assert rollout.metadata[SAMPLING_SEED] == 100 + rollout.input["number"]
                await behaviours[rollout.input["number"]](store, rollout)
                done += 1

        working = asyncio.create_task(runner())
        try:
            return await collector.collect(plan, train=train, step=1), collector
        finally:
            working.cancel()

    return asyncio.run(main())


def test_a_clean_rollout_becomes_an_episode() -> None:
    """Reward and exact tokens with their sampling log-probabilities, once."""
    result, collector = collect([clean, clean])
    assert [(episode.group, episode.reward, episode.calls) for episode in result.episodes] == [
        (0, 0.25, (CALL,)),
        (1, 0.25, (CALL,)),
    ]
    assert not result.dropped
    assert collector.drops.seen == 2


async def fails(store: agl.LightningStore, rollout: agl.AttemptedRollout) -> None:
    await call(store, rollout)
    await store.update_attempt(rollout.rollout_id, rollout.attempt.attempt_id, status="failed")


async def no_reward(store: agl.LightningStore, rollout: agl.AttemptedRollout) -> None:
    await call(store, rollout)
    await finish(store, rollout)


async def not_a_number(store: agl.LightningStore, rollout: agl.AttemptedRollout) -> None:
    await call(store, rollout)
    await finish(store, rollout, reward=float("nan"))


async def no_call(store: agl.LightningStore, rollout: agl.AttemptedRollout) -> None:
    await finish(store, rollout, reward=1.0)


async def other_tokens(store: agl.LightningStore, rollout: agl.AttemptedRollout) -> None:
    await call(store, rollout, tokens=(3, 5))
    await finish(store, rollout, reward=1.0)


async def unknown_reply(store: agl.LightningStore, rollout: agl.AttemptedRollout) -> None:
    await call(store, rollout, reply="unknown-7")
    await finish(store, rollout, reward=1.0)


async def hangs(store: agl.LightningStore, rollout: agl.AttemptedRollout) -> None:
    await call(store, rollout)


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (fails, "failed"),
        (no_reward, "no usable reward"),
        (not_a_number, "no usable reward"),
        (no_call, "no trained model call"),
        (other_tokens, "other tokens than the server sampled"),
        (unknown_reply, "the server does not know: 'unknown-7'"),
        (hangs, "timeout after 0.2 s"),
    ],
)
def test_anything_else_is_dropped_with_its_reason(behaviour: Behaviour, reason: str) -> None:
    """A rollout of ours that went wrong leaves no episode and no reward; its neighbour counts."""
    result, collector = collect([clean, behaviour], rollout_timeout_s=0.2)
    assert [episode.group for episode in result.episodes] == [0]
    (dropped,) = result.dropped
    assert dropped.group == 1
    assert reason in dropped.reason
    assert (collector.drops.seen, collector.drops.dropped) == (2, 1)


async def slow(store: agl.LightningStore, rollout: agl.AttemptedRollout) -> None:
    await asyncio.sleep(2.0)
    await clean(store, rollout)


def test_a_slow_rollout_of_a_living_server_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes ten times its limit and half of the run's; the model was at work all the while."""
    monkeypatch.setattr("lit_sql_trainer.rollouts.pulse.HEARTBEAT_S", 0.1)
    steps = itertools.count()
    result, _ = collect([clean, slow], work_done=lambda: next(steps), rollout_timeout_s=0.2, stall_timeout_s=1.0)
    assert [episode.group for episode in result.episodes] == [0, 1]


def test_a_rollout_of_a_silent_server_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing ended and no step was decoded for so long: the rollout is dropped with that reason."""
    monkeypatch.setattr("lit_sql_trainer.rollouts.pulse.HEARTBEAT_S", 0.1)
    result, _ = collect([clean, hangs], work_done=lambda: 7, rollout_timeout_s=0.2)
    assert [dropped.reason for dropped in result.dropped] == ["timeout after 0.2 s"]


@pytest.mark.parametrize("alive", [1, 2])
def test_a_runner_whose_process_lives_is_only_late(monkeypatch: pytest.MonkeyPatch, alive: int) -> None:
    """Where the runners are our own children, silence alone kills nobody; with one process fewer it does."""
    workers = [agl.Worker(worker_id=f"{n}", last_heartbeat_time=float(n)) for n in range(2)]

    class Store:
        async def query_workers(self) -> list[agl.Worker]:
            return workers

    now = [0.0]
    pulse = Pulse(limit_s=30, clock=lambda: now[0])
    pulse.look(workers)
    now[0] = 31.0
    monkeypatch.setattr("multiprocessing.active_children", lambda: [object()] * alive)
    collector = Collector(
        store=Store(),  # pyright: ignore[reportArgumentType]
        adapter=agl.TracerTraceToTriplet(),
        ledger=Ledger(),
        settings=Waits(),
        drops=DropWindow(limit=0.5, size=20),
        resources_id="",
        work_done=lambda: 0,
    )
    look = collector._give_up_dead(pulse, {})  # pyright: ignore[reportPrivateUsage]
    if alive == 2:
        asyncio.run(look)
    else:
        with pytest.raises(RunError, match="none of 2 runners"):
            asyncio.run(look)


@pytest.mark.parametrize("train", [True, False])
def test_somebody_may_give_the_rollouts_up(train: bool) -> None:
    """The question says whether they train, and the answer ends the wait."""
    with pytest.raises(GivenUp, match="2"):
        collect([hangs, hangs], train=train, give_up=lambda asked: asked is train)


def test_validation_reads_the_reward_only() -> None:
    """In validation a rollout counts by its reward; its calls are not kept."""
    result, _ = collect([clean, no_call], train=False)
    assert [(episode.reward, episode.calls) for episode in result.episodes] == [(0.25, ()), (1.0, ())]


def test_a_first_rollout_without_tokens_stops_the_run() -> None:
    """The canary: training that traces nothing ends at once, with a cause."""
    with pytest.raises(CanaryError, match="none of them a model call"):
        collect([no_call])


def test_an_outage_stops_the_run() -> None:
    """When everything fails, the run stops as soon as the limit is passed, and says why."""
    with pytest.raises(FailureLimitError, match="rollout failed"):
        collect([fails] * 20, max_dropped_share=0.1)


async def dies(store: agl.LightningStore, rollout: agl.AttemptedRollout) -> None:
    """Its runner took the rollout, sent one heartbeat, and never another."""
    await store.update_attempt(rollout.rollout_id, rollout.attempt.attempt_id, worker_id="killed")
    await store.update_worker("killed")


async def lives(store: agl.LightningStore, rollout: agl.AttemptedRollout) -> None:
    """A runner whose rollout takes longer than a runner may be silent, and who beats meanwhile."""
    await store.update_attempt(rollout.rollout_id, rollout.attempt.attempt_id, worker_id="living")
    for _ in range(12):
        await store.update_worker("living")
        await asyncio.sleep(0.1)
    await clean(store, rollout)


def test_a_runner_that_died_costs_its_rollout_only() -> None:
    """Noticed by its silence, long before the rollout's own time is over; a slow runner that beats is left alone."""
    result, _ = collect([dies, lives], runner_timeout_s=0.4)
    assert [episode.group for episode in result.episodes] == [1]
    assert [(lost.group, lost.reason) for lost in result.dropped] == [
        (0, "its runner showed no sign of life for 0.4 s")
    ]


def test_when_all_runners_are_dead_the_run_stops() -> None:
    """It does not wait for the rollouts that nobody will do."""
    with pytest.raises(
        RunError, match=r"none of 1 runners has shown a sign of life for 0\.2 s and 1 rollouts are open"
    ):
        collect([dies], runner_timeout_s=0.2)


def test_runners_that_never_beat_are_not_judged() -> None:
    """Somebody's own runners may send no heartbeats; then the rollout's time is the limit."""
    result, _ = collect([clean, hangs], runner_timeout_s=0.1, rollout_timeout_s=0.5)
    assert [lost.reason for lost in result.dropped] == ["timeout after 0.5 s"]


def test_a_stall_is_noticed() -> None:
    """When no rollout ends for the stall time, the run stops instead of waiting for ever."""

    async def never(store: agl.LightningStore, rollout: agl.AttemptedRollout) -> None:
        await asyncio.sleep(3600)

    with pytest.raises(RunError, match="no rollout ended for"):
        collect([never], stall_timeout_s=0.3)


def test_read_traces_are_freed() -> None:
    """Once a rollout is read, the store holds none of its spans, and accounts for it."""
    _, collector = collect([clean] * 5)
    store = collector.store
    assert isinstance(store, agl.InMemoryLightningStore)

    async def left() -> tuple[int, Any]:
        return len(await store.collections.spans.query()), (await store.statistics())["total_span_bytes"]

    assert asyncio.run(left()) == (0, 0)
