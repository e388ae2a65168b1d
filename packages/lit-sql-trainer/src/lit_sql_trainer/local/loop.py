"""The training loop: roll out, update, validate, checkpoint; and say what happened at every step.

Everything it uses is handed in open; it owns only the order of things.
"""

from __future__ import annotations

import contextlib
import math
import resource
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from lit_sql_trainer.errors import RunError, TrainerError
from lit_sql_trainer.local.checkpoint import BEST, LAST, TrainingState, save_checkpoint
from lit_sql_trainer.local.learner import Learner, TrainedRollout, UpdateStats
from lit_sql_trainer.local.server import LocalServer
from lit_sql_trainer.profile.grpo import GrpoSettings
from lit_sql_trainer.rollouts.advantage import GroupAdvantages, group_advantages, refill_size
from lit_sql_trainer.rollouts.collect import Collector, GivenUp
from lit_sql_trainer.rollouts.episodes import Collected, Episode
from lit_sql_trainer.rollouts.observer import Observer
from lit_sql_trainer.rollouts.plan import PlannedRollout
from lit_sql_trainer.rollouts.seeds import TaskOrder, sampling_seed
from lit_sql_trainer.runs.waiting import waiting


@dataclass(slots=True, kw_only=True)
class _Batch:
    """The rollouts of one step."""

    collected: Collected
    groups: list[list[Episode]]
    advantages: GroupAdvantages
    sampled_groups: int
    """Tasks rolled out, refills included."""

    def trained(self) -> list[list[TrainedRollout]]:
        return [
            [
                TrainedRollout(calls=episode.calls, advantage=advantage)
                for episode, advantage in zip(group, row, strict=True)
            ]
            for group, row in zip(self.groups, self.advantages.advantages_P_G, strict=True)
        ]


@dataclass(slots=True, kw_only=True)
class TrainingLoop:
    """One run, from its `state` to the last step."""

    settings: GrpoSettings
    observer: Observer
    should_stop: Callable[[], bool]
    checkpoints: Path
    resumed: bool
    state: TrainingState
    learner: Learner
    server: LocalServer
    collector: Collector
    saved_step: int | None = None

    def __post_init__(self) -> None:
        if self.resumed:
            self.saved_step = self.state.step

    async def train(self, tasks: Any, validation: Any) -> None:
        """Steps until the last one or until asked to stop.

        A step or a validation that is given up leaves the state as it was before; a resumed run does it again.
        """
        try:
            if self._validation_is_due():
                await self._validate(validation)
            while self.state.step < self.settings.steps and not self.should_stop():
                await self._step(tasks)
                if self._validation_is_due():
                    await self._validate(validation)
                if self.state.step % self.settings.checkpoint_every == 0:
                    self._save_last()
        except GivenUp:
            pass
        except RunError:
            with contextlib.suppress(RunError):  # a full disk, most often: the first error is the one to tell
                self._save_last()
            raise
        except TrainerError:
            self._save_last()
            raise
        self._save_last()

    def _validation_is_due(self) -> bool:
        step, every = self.state.step, self.settings.validate_every
        due = step in (0, self.settings.steps) or (every and step % every == 0)
        return bool(due) and self.state.validated_step != step

    async def _step(self, tasks: Any) -> None:
        started = time.monotonic()
        busy, sampled, batches = self._served()
        order = TaskOrder(len(tasks), seed=self.settings.seed, consumed=self.state.tasks_consumed)
        batch = await self._roll_out(order, tasks)
        updating = time.monotonic()
        with self.server.batcher.weights:
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
        count, sampled = wanted, 0
        while True:
            first = order.consumed
            plan = self._plan(first, order.take(count), tasks)
            total.extend(await self.collector.collect(plan, train=True, step=self.state.step + 1))
            sampled += count
            groups = _grouped(total.episodes)
            advantages = group_advantages(
                [[episode.reward for episode in group] for group in groups],
                normalise=self.settings.normalise_advantages,
            )
            useful = len(groups) - sum(advantages.zero_variance_P)
            count = refill_size(useful=useful, wanted=wanted, sampled=sampled, factor=self.settings.refill_factor)
            if not count:
                return _Batch(collected=total, groups=groups, advantages=advantages, sampled_groups=sampled)

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
        self.server.batcher.expect(seeds[start : start + size] for start in range(0, len(seeds), size))
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
        with waiting("validating the model") if self.state.step == 0 else contextlib.nullcontext():
            result = await self.collector.collect(plan, train=False, step=self.state.step)
        self.server.forget()
        rewards = [episode.reward for episode in result.episodes]
        reward = _mean(rewards)
        best = reward is not None and (self.state.best_validation is None or reward > self.state.best_validation)
        self.state = replace(self.state, last_validation=reward, validated_step=self.state.step)
        self.saved_step = None
        if best:
            self.state = replace(self.state, best_validation=reward, best_step=self.state.step)
            self._save(BEST)
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
            self._save(LAST, optimiser=self.learner.state())
            self.saved_step = self.state.step

    def _save(self, name: str, *, optimiser: dict[str, Any] | None = None) -> None:
        path = save_checkpoint(
            self.checkpoints, name, policy=self.learner.policy, state=self.state, optimiser=optimiser
        )
        self.observer.on_checkpoint(str(path), self.state.step)

    def _served(self) -> tuple[float, int, int]:
        counters = self.server.batcher.counters
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
            "refilled_groups": batch.sampled_groups - self.settings.tasks_per_step,
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
