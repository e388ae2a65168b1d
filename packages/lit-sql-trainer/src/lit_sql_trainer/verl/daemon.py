"""Between VERL's trainer and the runners: publish where the model is served, have rollouts done, read their traces.

Takes the place of the library's `AgentModeDaemon`. A rollout becomes an episode with its reward and the exact tokens
of its trained calls, or is dropped with a reason (`rollouts.collect`, the same code as on a laptop); nothing is filled
in. Runners talk to vLLM directly: it returns token ids when asked, and the library's proxy in between would add two
thirds of all spans, a second tokenisation path, and a process to fail.

Runs inside Ray. Importing it imports the library.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from typing import TypeVar

import agentlightning as agl  # pyright: ignore[reportMissingTypeStubs]  typed inline, but without a marker

from lit_sql_trainer.errors import RunError
from lit_sql_trainer.profile.verl import LitSql
from lit_sql_trainer.rollouts.collect import Adapter, Collector
from lit_sql_trainer.rollouts.drops import DropWindow
from lit_sql_trainer.rollouts.episodes import Collected, Sampled
from lit_sql_trainer.rollouts.plan import PlannedRollout
from lit_sql_trainer.rollouts.wire import FRESH_SEEDS, MODEL_RESOURCE
from lit_sql_trainer.verl.foreign import Foreign

T = TypeVar("T")


class TracedTokens:
    """The library's adapter, which also remembers the tokens that it read: trace and ledger in one.

    vLLM keeps no record of what it sampled, so the trace itself is the only source.
    """

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter
        self._seen: dict[str, Sampled] = {}
        self.agent_match = getattr(adapter, "agent_match", None)

    def adapt(self, spans: Sequence[agl.Span]) -> list[agl.Triplet]:
        """The trained calls of one rollout. Forgets those of the rollout before."""
        self._seen.clear()
        triplets = self._adapter.adapt(spans)
        for triplet in triplets:
            prompt, reply = triplet.prompt.get("token_ids"), triplet.response.get("token_ids")
            if prompt and reply:
                self._seen[str(triplet.metadata.get("response_id"))] = Sampled(
                    prompt_ids=tuple(prompt), token_ids=tuple(reply), logprobs=()
                )
        return triplets

    def take(self, response_id: str) -> Sampled | None:
        """The tokens of one call, once."""
        return self._seen.pop(str(response_id), None)


class SqlCollector(Collector):
    """A collector whose rollouts are spread over several servers, all of one task on the same one."""

    def __init__(self, *, resources_ids: Sequence[str], **parts: Foreign) -> None:
        super().__init__(resources_id=resources_ids[0], **parts)
        self._resources_ids = list(resources_ids)

    def resources_of(self, planned: PlannedRollout) -> str:
        """The rollouts of a task share a prompt, which their server then reads once."""
        return self._resources_ids[planned.group % len(self._resources_ids)]

    def metadata_of(self, planned: PlannedRollout, *, step: int) -> dict[str, object]:
        """vLLM takes a seed as it is, so each turn needs one of its own."""
        return {**super().metadata_of(planned, step=step), FRESH_SEEDS: True}


class SqlDaemon:
    """What `SqlTrainer` asks for rollouts.

    Args:
        store: the run's store, seen from a Ray process.
        adapter: from spans to trained calls.
        model: the name under which vLLM serves the model.
        temperature: of training rollouts; validation is greedy, which the agent sees to.
        settings: waits and limits.
    """

    def __init__(
        self,
        *,
        store: agl.LightningStore,
        adapter: Adapter,
        model: str,
        temperature: float,
        settings: LitSql,
    ) -> None:
        self.settings = settings
        self.drops = DropWindow(limit=settings.max_dropped_share, size=settings.dropped_window)
        self._store = store
        self._tokens = TracedTokens(adapter)
        self._model = model
        self._temperature = temperature
        self._collector: SqlCollector | None = None
        self._addresses: list[str] = []
        # The store's HTTP client keeps its sessions per event loop, so one loop lives as long as the daemon.
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="rollouts", daemon=True)
        self._thread.start()

    def open(self, addresses: Sequence[str]) -> None:
        """Tell the runners where the model is served (`host:port` of each server); cheap when nothing changed."""
        if not addresses:
            raise RunError("VERL started no vLLM server: see the logs of its workers")
        if list(addresses) == self._addresses:
            return
        self._addresses = list(addresses)
        self._collector = SqlCollector(
            store=self._store,
            adapter=self._tokens,
            ledger=self._tokens,
            settings=self.settings,
            drops=self.drops,
            resources_ids=self._wait(self._publish(addresses)),
        )

    def collect(self, plan: Sequence[PlannedRollout], *, train: bool, step: int) -> Collected:
        """Have the planned rollouts done; blocks until all have ended.

        Raises:
            TrainerError: one of the kinds that `Collector.collect` names.
        """
        if self._collector is None:
            raise RunError("no model is served yet: call `open` first")
        return self._wait(self._collector.collect(plan, train=train, step=step))

    def close(self) -> None:
        """Stop the loop; nothing can be collected afterwards."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)

    async def _publish(self, addresses: Sequence[str]) -> list[str]:
        ids: list[str] = []
        for address in addresses:
            llm = agl.LLM(
                endpoint=f"http://{address}/v1",
                model=self._model,
                api_key="local",
                sampling_parameters={
                    "temperature": self._temperature,
                    "extra_body": {"return_token_ids": True},
                },
            )
            ids.append((await self._store.add_resources({MODEL_RESOURCE: llm})).resources_id)
        return ids

    def _wait(self, work: Coroutine[object, None, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()
