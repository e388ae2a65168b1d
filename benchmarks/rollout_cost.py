"""What one rollout of a single turn costs, and whom: our code, the client of the endpoint, the library's machinery.

A scripted endpoint in a process of its own answers at once, so nothing here is model time. Four layers, each holding
the one before: a bare request through the chat client; the agent and the judge around it; the same under the
library's tracer; the same taken from a store and reported back to it by the library's runner. CPU milliseconds of
this process per rollout, median of several passes. The last line is JSON.

    python benchmarks/rollout_cost.py [--rollouts 60] [--passes 5]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import statistics
import time
from collections.abc import Callable, Coroutine
from multiprocessing.connection import Connection
from typing import Any

from lit_sql_trainer.machine.environment import guard_environment

guard_environment(local_model=True)

import agentlightning as agl  # noqa: E402  after the guard
from langchain_core.messages import HumanMessage  # noqa: E402  after the guard

from lit_sql_trainer.agent.agent import LitSQLAgent  # noqa: E402  after the guard
from lit_sql_trainer.agent.answering import Answering  # noqa: E402  after the guard
from lit_sql_trainer.data import embedded_data, load_data  # noqa: E402  after the guard
from lit_sql_trainer.machine.endpoints import ModelEndpoint  # noqa: E402  after the guard
from lit_sql_trainer.profile.named import TINY  # noqa: E402  after the guard
from lit_sql_trainer.testing import ScriptedEndpoint  # noqa: E402  after the guard

REPLY = "```sql\nSELECT 1\n```"
SAMPLING = {"temperature": 1.0, "max_tokens": 96}


def serve(channel: Connection) -> None:
    """The endpoint's process: open until it is told to close."""
    with ScriptedEndpoint(lambda _: REPLY) as endpoint:
        channel.send(endpoint.url)
        channel.recv()


class Layers:
    """The four ways to do rollout number `index`."""

    def __init__(self, url: str, rollouts: int) -> None:
        folder = embedded_data()
        self.tasks = load_data(folder, train_tasks=rollouts).train
        self.answering = Answering(data=folder, settings=TINY.rollout)
        self.endpoint = ModelEndpoint(url=url, model="scripted", api_key="local")
        self.tracer = agl.AgentOpsTracer()
        self.runner: agl.LitAgentRunner[dict[str, Any]] = agl.LitAgentRunner(self.tracer)
        self.agent = LitSQLAgent(data=folder, settings=TINY.rollout)
        self.store = agl.InMemoryLightningStore()
        self.resources = agl.LLM(endpoint=url, model="scripted", api_key="local", sampling_parameters=SAMPLING)

    async def request(self, index: int) -> None:
        """One call of the chat client."""
        chat = self.answering.chat(self.endpoint, sampling=SAMPLING, seed=index)
        chat.invoke([HumanMessage(self.tasks[index].question)])

    async def rollout(self, index: int, *, callbacks: Any = ()) -> None:
        """Graph, database and judge, untraced."""
        task = self.tasks[index]
        chat = self.answering.chat(self.endpoint, sampling=SAMPLING, seed=index)
        self.answering.judge(task, self.answering.answer(task, chat=chat, callbacks=callbacks).sql)

    async def traced(self, index: int) -> None:
        """The same under the library's tracer and its LangChain handler, spans sent to a store."""
        taken = await self._taken(index)
        ids = {"rollout_id": taken.rollout_id, "attempt_id": taken.attempt.attempt_id}
        async with self.tracer.trace_context("rollout", store=self.store, **ids):
            await self.rollout(index, callbacks=(self.tracer.get_langchain_handler(),))

    async def run(self, index: int) -> None:
        """The same by the library's runner."""
        await self.runner._step_impl(await self._taken(index), raise_on_exception=True)  # the library has no public way

    async def _taken(self, index: int) -> agl.AttemptedRollout:
        resources = await self.store.add_resources({"main_llm": self.resources})
        row = dict(self.tasks[index].to_row())
        await self.store.enqueue_rollout(input=row, mode="train", resources_id=resources.resources_id)
        taken = await self.store.dequeue_rollout(worker_id="benchmark")
        assert taken is not None
        return taken


async def timed(layer: Callable[[int], Coroutine[Any, Any, None]], rollouts: int) -> float:
    """CPU milliseconds of this process per rollout."""
    started = time.process_time()
    for index in range(rollouts):
        await layer(index)
    return 1000 * (time.process_time() - started) / rollouts


async def measure(layers: Layers, rollouts: int, passes: int) -> dict[str, float]:
    """Medians by layer; the layers take turns, so that a slow moment hits them all."""
    ways = {"request": layers.request, "rollout": layers.rollout, "traced": layers.traced, "runner": layers.run}
    times: dict[str, list[float]] = {name: [] for name in ways}
    with layers.runner.run_context(agent=layers.agent, store=layers.store):
        for number in range(passes + 1):
            for name, layer in ways.items():
                spent = await timed(layer, rollouts)
                if number:  # the first pass opens databases and clients
                    times[name].append(spent)
    return {name: round(statistics.median(each), 2) for name, each in times.items()}


def main() -> None:
    """Print each layer and what it adds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rollouts", type=int, default=60)
    parser.add_argument("--passes", type=int, default=5)
    options = parser.parse_args()
    here, there = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(there,))
    process.start()
    try:
        medians = asyncio.run(measure(Layers(here.recv(), options.rollouts), options.rollouts, options.passes))
    finally:
        here.send("close")
        process.join()
    before = 0.0
    for name, spent in medians.items():
        print(f"{name:8} {spent:7.2f} ms CPU per rollout, {spent - before:+.2f}")
        before = spent
    print(json.dumps({"benchmark": "rollout_cost", "cpu_ms": medians}))


if __name__ == "__main__":
    main()
