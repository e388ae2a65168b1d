"""GRPO on Agent-lightning, in this process: roll out, read the traces, update, serve the new weights.

`loss.py` says how the objective differs from the papers, `collect.py` what becomes of a failed rollout, `seeds.py`
why an interrupted run continues with the numbers of an unbroken one. This module is the loop that joins them.

Torch is imported when the run begins, after the runners were forked: a forked process must not inherit its threads.
"""

from __future__ import annotations

import math
import os
import resource
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import agentlightning as agl

from lit_sql_trainer.advantage import GroupAdvantages, group_advantages, refill_size
from lit_sql_trainer.errors import ConfigError, TrainerError
from lit_sql_trainer.local.collect import Collected, Collector, Episode, PlannedRollout
from lit_sql_trainer.local.drops import DropWindow
from lit_sql_trainer.local.observer import NoObserver, Observer
from lit_sql_trainer.local.seeds import TaskOrder, sampling_seed
from lit_sql_trainer.local.settings import GrpoSettings

if TYPE_CHECKING:
    from lit_sql_trainer.local.checkpoint import TrainingState
    from lit_sql_trainer.local.learner import Learner, TrainedRollout, UpdateStats
    from lit_sql_trainer.local.policy import Policy
    from lit_sql_trainer.local.server import LocalServer

MODEL_RESOURCE = "main_llm"


class LocalGrpo(agl.Algorithm):
    """Trains the model at `model` on the rewards that the agent returns.

    Args:
        model: Hugging Face folder or hub name to start from.
        checkpoints: folder that gets `last/` and `best/`.
        settings: see `GrpoSettings`.
        observer: told of every step, validation and checkpoint. A step's metrics hold `step`, `reward`, `reward_std`,
            `rollouts`, `dropped`, `drop_reasons`, `groups`, `zero_variance_share`, `refilled_groups`, `turns`,
            `response_tokens`, the fields of `UpdateStats`, `tokens_per_s` and `batch_size` of the server,
            `seconds_rollout`, `seconds_adapt`, `seconds_update`, `seconds`, `rss_mb`.
        should_stop: asked after each step; when it says yes the run writes its checkpoint and ends.
        resume_from: a `last/` checkpoint to continue from; `model` is then only the reference of the KL term.

    The agent must accept a task row, pass `rollout.metadata["sampling_seed"]` to its requests, and be greedy unless
    `rollout.mode` is "train".
    """

    def __init__(
        self,
        *,
        model: str | Path,
        checkpoints: Path,
        settings: GrpoSettings | None = None,
        observer: Observer | None = None,
        should_stop: Callable[[], bool] = lambda: False,
        resume_from: Path | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.checkpoints = checkpoints
        self.settings = settings or GrpoSettings()
        self.observer = observer or NoObserver()
        self.should_stop = should_stop
        self.resume_from = resume_from

    async def run(
        self, train_dataset: agl.Dataset[Any] | None = None, val_dataset: agl.Dataset[Any] | None = None
    ) -> None:
        """Train; called by `agl.Trainer.fit`.

        Raises:
            TrainerError: one of its kinds, after the finished steps were saved.
        """
        if self.settings.steps and not (train_dataset is not None and len(train_dataset)):
            raise ConfigError("training needs at least one training task; set steps=0 to validate only")
        import torch

        torch.set_num_threads(self.settings.torch_threads or os.cpu_count() or 1)
        state, learner = self._open()
        server = self._serve(learner.policy)
        server.start()
        try:
            run = _Run(self, state=state, learner=learner, server=server, collector=await self._collector(server))
            await run.train(train_dataset, val_dataset)
        finally:
            server.stop()

    def _open(self) -> tuple[TrainingState, Learner]:
        from lit_sql_trainer.local.checkpoint import TrainingState, find_checkpoint, read_optimiser, read_state
        from lit_sql_trainer.local.learner import Learner
        from lit_sql_trainer.local.policy import load_policy

        device = self.settings.device
        reference = load_policy(self.model, device=device) if self.settings.kl_coefficient else None
        if self.resume_from is None:
            learner = Learner(load_policy(self.model, device=device), self.settings, reference=reference)
            return TrainingState(seed=self.settings.seed), learner
        state = read_state(self.resume_from)
        if state.seed != self.settings.seed:
            raise ConfigError(
                f"checkpoint {self.resume_from} was trained with seed {state.seed}, not {self.settings.seed}: its "
                f"numbers could not be continued; resume with --set seed={state.seed}"
            )
        policy = load_policy(find_checkpoint(self.resume_from), device=device)
        learner = Learner(policy, self.settings, reference=reference)
        learner.restore(read_optimiser(self.resume_from))
        return state, learner

    def _serve(self, policy: Policy) -> LocalServer:
        from lit_sql_trainer.local.generate import Generator
        from lit_sql_trainer.local.server import LocalServer

        settings = self.settings
        return LocalServer(
            generator=Generator(
                policy.model, end_ids=policy.end_ids, decode=policy.decode, row_multiple=policy.row_multiple
            ),
            tokenizer=policy.tokenizer,
            context_tokens=min(settings.context_tokens, policy.context_tokens),
            max_new_tokens=settings.max_new_tokens,
            max_batch=settings.max_batch,
            batch_window_s=settings.batch_window_s,
        )

    async def _collector(self, server: LocalServer) -> Collector:
        settings = self.settings
        store = self.get_store()
        llm = agl.LLM(
            endpoint=server.url,
            model=server.name,
            api_key="local",
            sampling_parameters={"temperature": settings.temperature},
        )
        # One resource for the whole run: the weights change behind it, its address does not.
        update = await store.add_resources({MODEL_RESOURCE: llm})
        return Collector(
            store=store,
            adapter=self.get_adapter(),
            ledger=server,
            settings=settings,
            drops=DropWindow(limit=settings.max_dropped_share, size=settings.dropped_window),
            resources_id=update.resources_id,
        )


@dataclass(slots=True, kw_only=True)
class _Batch:
    """The rollouts of one step."""

    collected: Collected
    groups: list[list[Episode]]
    advantages: GroupAdvantages
    first_groups: int
    """Groups before refill."""

    def trained(self) -> list[list[TrainedRollout]]:
        from lit_sql_trainer.local.learner import TrainedRollout

        return [
            [
                TrainedRollout(calls=episode.calls, advantage=advantage)
                for episode, advantage in zip(group, row, strict=True)
            ]
            for group, row in zip(self.groups, self.advantages.advantages_P_G, strict=True)
        ]


class _Run:
    """One call of `LocalGrpo.run`, once everything is open."""

    def __init__(
        self, owner: LocalGrpo, *, state: TrainingState, learner: Learner, server: LocalServer, collector: Collector
    ) -> None:
        self.settings = owner.settings
        self.observer = owner.observer
        self.should_stop = owner.should_stop
        self.checkpoints = owner.checkpoints
        self.resumed = owner.resume_from is not None
        self.state = state
        self.learner = learner
        self.server = server
        self.collector = collector
        self.saved_step: int | None = state.step if self.resumed else None

    async def train(self, tasks: Any, validation: Any) -> None:
        """Steps until the last one or until asked to stop."""
        try:
            if not self.resumed:
                await self._validate(validation)
            while self.state.step < self.settings.steps and not self.should_stop():
                await self._step(tasks)
                every = self.settings.validate_every
                if self.state.step == self.settings.steps or (every and self.state.step % every == 0):
                    await self._validate(validation)
                if self.state.step % self.settings.checkpoint_every == 0:
                    self._save_last()
        except TrainerError:
            self._save_last()
            raise
        self._save_last()

    async def _step(self, tasks: Any) -> None:
        started = time.monotonic()
        busy, sampled, batches = self._served()
        order = TaskOrder(len(tasks), seed=self.settings.seed, consumed=self.state.tasks_consumed)
        batch = await self._roll_out(order, tasks)
        updating = time.monotonic()
        with self.server.weights:
            stats = self.learner.update(batch.trained(), step=self.state.step)
        self.server.forget()
        ended = time.monotonic()
        self.state = replace(self.state, step=self.state.step + 1, tasks_consumed=order.consumed)
        now_busy, now_sampled, now_batches = self._served()
        self.observer.on_step(
            {
                **self._describe(batch, stats),
                "tokens_per_s": _ratio(now_sampled - sampled, now_busy - busy),
                "server_busy_s": now_busy - busy,
                "batches": now_batches - batches,
                "seconds_rollout": batch.collected.seconds,
                "seconds_adapt": batch.collected.adapt_seconds,
                "seconds_update": ended - updating,
                "seconds": ended - started,
                "rss_mb": resident_megabytes(),
            }
        )

    async def _roll_out(self, order: TaskOrder, tasks: Any) -> _Batch:
        """The step's groups, with as many refills as the budget allows."""
        wanted = self.settings.tasks_per_step
        total = Collected()
        count = wanted
        sampled = 0
        while count:
            first = order.consumed
            plan = self._plan(first, order.take(count), tasks)
            part = await self.collector.collect(plan, train=True, step=self.state.step + 1)
            sampled += count
            total.episodes += part.episodes
            total.dropped += part.dropped
            total.seconds += part.seconds
            total.adapt_seconds += part.adapt_seconds
            groups = _grouped(total.episodes)
            advantages = group_advantages(
                [[episode.reward for episode in group] for group in groups],
                normalise=self.settings.normalise_advantages,
            )
            useful = len(groups) - sum(advantages.zero_variance_P)
            count = refill_size(useful=useful, wanted=wanted, sampled=sampled, factor=self.settings.refill_factor)
        return _Batch(collected=total, groups=groups, advantages=advantages, first_groups=wanted)

    def _plan(self, first: int, chosen: Sequence[int], tasks: Any) -> list[PlannedRollout]:
        plan = [
            PlannedRollout(
                group=first + offset,
                task=index,
                sample=sample,
                row=tasks[index],
                seed=sampling_seed(
                    self.settings.seed, phase="train", step=self.state.step, task=first + offset, sample=sample
                ),
            )
            for offset, index in enumerate(chosen)
            for sample in range(self.settings.rollouts_per_task)
        ]
        size = self.settings.rollouts_per_task
        seeds = [planned.seed for planned in plan]
        self.server.expect(seeds[start : start + size] for start in range(0, len(seeds), size))
        return plan

    async def _validate(self, tasks: Any) -> None:
        """Score the present weights, greedily, and keep them when they are the best so far."""
        if tasks is None or not len(tasks):
            return
        plan = [
            PlannedRollout(
                group=index,
                task=index,
                sample=0,
                row=tasks[index],
                seed=sampling_seed(self.settings.seed, phase="val", step=0, task=index, sample=0),
            )
            for index in range(len(tasks))
        ]
        result = await self.collector.collect(plan, train=False, step=self.state.step)
        self.server.forget()
        rewards = [episode.reward for episode in result.episodes]
        reward = _mean(rewards)
        best = reward is not None and (self.state.best_validation is None or reward > self.state.best_validation)
        self.state = replace(self.state, last_validation=reward)
        if best:
            self.state = replace(self.state, best_validation=reward, best_step=self.state.step)
            self._save("best")
        self.observer.on_validation(
            {
                "step": self.state.step,
                "reward": reward,
                "standard_error": _deviation(rewards) / math.sqrt(len(rewards)) if rewards else None,
                "rollouts": len(rewards),
                "dropped": len(result.dropped),
                "best": best,
                "seconds": result.seconds,
            }
        )

    def _save_last(self) -> None:
        if self.saved_step != self.state.step:
            self._save("last", optimiser=self.learner.state())
            self.saved_step = self.state.step

    def _save(self, name: str, *, optimiser: dict[str, Any] | None = None) -> None:
        from lit_sql_trainer.local.checkpoint import save_checkpoint

        path = save_checkpoint(
            self.checkpoints, name, policy=self.learner.policy, state=self.state, optimiser=optimiser
        )
        self.observer.on_checkpoint(str(path), self.state.step)

    def _served(self) -> tuple[float, int, int]:
        counters = self.server.counters
        return counters.busy_s, counters.tokens, counters.batches

    def _describe(self, batch: _Batch, stats: UpdateStats) -> Mapping[str, Any]:
        episodes = batch.collected.episodes
        rewards = [episode.reward for episode in episodes]
        lengths = [len(call.token_ids) for episode in episodes for call in episode.calls]
        return {
            "step": self.state.step,
            "reward": _mean(rewards),
            "reward_std": _deviation(rewards),
            "rollouts": len(episodes),
            "dropped": len(batch.collected.dropped),
            "drop_reasons": dict(Counter(dropped.reason for dropped in batch.collected.dropped)),
            "dropped_total": self.collector.drops.dropped,
            "groups": len(batch.groups),
            "refilled_groups": max(0, len(batch.groups) - batch.first_groups),
            "zero_variance_share": batch.advantages.zero_variance_share,
            "turns": _mean([len(episode.calls) for episode in episodes]),
            "response_tokens": _mean(lengths),
            "response_tokens_max": max(lengths, default=0),
            **asdict(stats),
        }


def resident_megabytes() -> float:
    """Memory of this process at present; where the system does not say, its peak."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    return pages * resource.getpagesize() / 2**20


def _grouped(episodes: Sequence[Episode]) -> list[list[Episode]]:
    groups: dict[int, list[Episode]] = {}
    for episode in sorted(episodes, key=lambda episode: (episode.group, episode.sample)):
        groups.setdefault(episode.group, []).append(episode)
    return list(groups.values())


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def _deviation(values: Sequence[float]) -> float:
    if len(values) < 2:
        return 0.0
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def _ratio(amount: float, seconds: float) -> float | None:
    return amount / seconds if seconds > 0 else None
