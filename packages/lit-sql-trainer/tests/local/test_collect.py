"""What becomes of a rollout, on the library's real store with a scripted runner."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the `cpu` dependency group")
import agentlightning as agl

from lit_sql_trainer.errors import CanaryError, FailureLimitError, RunError
from lit_sql_trainer.local.collect import Collected, Collector, PlannedRollout
from lit_sql_trainer.local.drops import DropWindow
from lit_sql_trainer.local.seeds import SAMPLING_SEED
from lit_sql_trainer.local.server import Sampled
from lit_sql_trainer.local.settings import GrpoSettings

CALL = Sampled(prompt_ids=(1, 2), token_ids=(3, 4), logprobs=(-0.1, -0.2))
Behaviour = Callable[[agl.LightningStore, agl.AttemptedRollout], Coroutine[Any, Any, None]]


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


def collect(behaviours: list[Behaviour], *, train: bool = True, **changes: Any) -> tuple[Collected, Collector]:
    """Do one rollout per behaviour on a store of its own."""
    settings = GrpoSettings(**{"max_dropped_share": 0.5, "dropped_window": 20, "poll_interval_s": 0.01, **changes})

    async def main() -> tuple[Collected, Collector]:
        store = agl.InMemoryLightningStore(thread_safe=True, scan_debounce_seconds=0.0)
        resources = await store.add_resources({})
        collector = Collector(
            store=store,
            adapter=agl.TracerTraceToTriplet(_skip_empty_token_spans=True),
            ledger=Ledger(),
            settings=settings,
            drops=DropWindow(limit=settings.max_dropped_share, size=settings.dropped_window),
            resources_id=resources.resources_id,
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


def test_dead_runners_are_noticed() -> None:
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
