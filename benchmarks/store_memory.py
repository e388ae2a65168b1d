"""What 2 000 rollouts leave in memory: the library's store alone, and with traces freed once they are read.

Each rollout has 28 spans of a few kilobytes, as a traced LangGraph run of three turns has. Each arm has a process of
its own, since memory that Python has freed does not always go back to the system. The last line is JSON.

    python benchmarks/store_memory.py [keep|free]
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

from lit_sql_trainer.machine.environment import guard_environment

guard_environment(local_model=True)

import agentlightning as agl  # noqa: E402  after the guard

from lit_sql_trainer.local.loop import resident_megabytes  # noqa: E402  after the guard
from lit_sql_trainer.rollouts.collect import forget_spans  # noqa: E402  after the guard

STEPS, ROLLOUTS, SPANS = 16, 128, 28


async def main(*, free: bool) -> None:
    """Fill the store step by step and print the growth after the first step."""
    store = agl.InMemoryLightningStore(thread_safe=True)
    resources = await store.add_resources({})
    first = 0.0
    for step in range(STEPS):
        request = agl.EnqueueRolloutRequest(
            input={"question": "q" * 80, "query": "s" * 120, "db_id": "toy"},
            mode="train",
            resources_id=resources.resources_id,
        )
        await store.enqueue_many_rollouts([request] * ROLLOUTS)
        for _ in range(ROLLOUTS):
            rollout = await store.dequeue_rollout("benchmark")
            assert rollout is not None
            await store.add_many_spans([span(rollout, number) for number in range(SPANS)])
            await store.update_attempt(rollout.rollout_id, rollout.attempt.attempt_id, status="succeeded")
            await store.query_spans(rollout.rollout_id, attempt_id="latest")
            if free:
                await forget_spans(store, rollout.rollout_id)
        if step == 0:
            first = resident_megabytes()
    growth = round(resident_megabytes() - first, 1)
    arm = "free" if free else "keep"
    print(f"{arm}: {STEPS * ROLLOUTS} rollouts of {SPANS} spans, growth after the first {ROLLOUTS}: {growth} MB")
    print(json.dumps({"bench": "store_memory", "arm": arm, "rollouts": STEPS * ROLLOUTS, "growth_mb": growth}))


def span(rollout: agl.AttemptedRollout, number: int) -> agl.Span:
    """One span with 12 attributes of text and a prompt's token ids."""
    text = {f"attribute.{index}": f"payload {index} {number} " * 30 for index in range(12)}
    return agl.Span.from_attributes(
        name="chain",
        attributes={**text, "prompt_token_ids": list(range(300, 420))},
        rollout_id=rollout.rollout_id,
        attempt_id=rollout.attempt.attempt_id,
        sequence_id=number + 1,
        start_time=float(number),
        end_time=number + 0.5,
    )


if __name__ == "__main__":
    if sys.argv[1:] not in ([], ["keep"], ["free"]):
        raise SystemExit(__doc__)
    if sys.argv[1:]:
        asyncio.run(main(free=sys.argv[1] == "free"))
    else:
        for arm in ("keep", "free"):
            subprocess.run([sys.executable, __file__, arm], check=True)
