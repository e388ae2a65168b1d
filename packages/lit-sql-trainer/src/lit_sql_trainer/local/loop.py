"""The training loop: roll out, update, validate, checkpoint; and say what happened at every step.

Everything it uses is handed in open; it owns only the order of things.
"""

from __future__ import annotations

import contextlib
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lit_sql_trainer.errors import RunError, TrainerError
from lit_sql_trainer.local.checkpoint import BEST, LAST, TrainingState, save_checkpoint
from lit_sql_trainer.local.learner import Learner, trained_rollouts
from lit_sql_trainer.local.server import LocalServer
from lit_sql_trainer.profile.grpo import GrpoSettings
from lit_sql_trainer.rollouts.collect import Collector, GivenUp
from lit_sql_trainer.rollouts.groups import Gathering, StepBatch
from lit_sql_trainer.rollouts.metrics import describe_batch, describe_validation
from lit_sql_trainer.rollouts.observer import Observer
from lit_sql_trainer.rollouts.plan import Row, training_plan, validation_plan
from lit_sql_trainer.rollouts.seeds import TaskOrder
from lit_sql_trainer.runs.waiting import waiting


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

    async def train(self, tasks: Sequence[Row], validation: Sequence[Row]) -> None:
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

    async def _step(self, tasks: Sequence[Row]) -> None:
        started = time.monotonic()
        busy, sampled, batches = self._served()
        order = TaskOrder(len(tasks), seed=self.settings.seed, consumed=self.state.tasks_consumed)
        batch = await self._roll_out(order, tasks)
        updating = time.monotonic()
        with self.server.batcher.weights:
            stats = self.learner.update(trained_rollouts(batch), step=self.state.step)
        self.server.forget()
        ended = time.monotonic()
        self.state = replace(self.state, step=self.state.step + 1, tasks_consumed=order.consumed)
        now_busy, now_sampled, now_batches = self._served()
        self.observer.on_step(
            {
                "step": self.state.step,
                **describe_batch(batch, dropped_total=self.collector.drops.dropped),
                **stats,
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

    async def _roll_out(self, order: TaskOrder, tasks: Sequence[Row]) -> StepBatch:
        """The step's groups, with as many refills as the budget allows."""
        settings, step = self.settings, self.state.step
        gathering = Gathering(
            wanted=settings.tasks_per_step,
            refill_factor=settings.refill_factor,
            normalise=settings.normalise_advantages,
        )
        size = settings.rollouts_per_task
        while count := gathering.missing():
            plan = training_plan(tasks, order, count, rollouts=size, seed=settings.seed, step=step)
            seeds = [planned.seed for planned in plan]
            self.server.batcher.expect(seeds[start : start + size] for start in range(0, len(seeds), size))
            gathering.add(count, await self.collector.collect(plan, train=True, step=step + 1))
        return gathering.batch()

    async def _validate(self, tasks: Sequence[Row]) -> None:
        """Score the present weights, greedily, and keep them when they are the best so far."""
        if not tasks:
            return
        plan = validation_plan(tasks, seed=self.settings.seed)
        with waiting("validating the model") if self.state.step == 0 else contextlib.nullcontext():
            result = await self.collector.collect(plan, train=False, step=self.state.step)
        self.server.forget()
        numbers = describe_validation(result, tasks)
        reward = numbers["reward"]
        best = reward is not None and (self.state.best_validation is None or reward > self.state.best_validation)
        self.state = replace(self.state, last_validation=reward, validated_step=self.state.step)
        self.saved_step = None
        if best:
            self.state = replace(self.state, best_validation=reward, best_step=self.state.step)
            self._save(BEST)
        self.observer.on_validation({"step": self.state.step, **numbers, "best": best, "seconds": result.seconds})

    def _save_last(self) -> None:
        if self.saved_step != self.state.step:
            self._save(LAST, optimiser=self.learner.state())
            self.saved_step = self.state.step

    def _save(self, name: str, *, optimiser: dict[str, object] | None = None) -> None:
        save_checkpoint(self.checkpoints, name, policy=self.learner.policy, state=self.state, optimiser=optimiser)

    def _served(self) -> tuple[float, int, int]:
        counters = self.server.batcher.counters
        return counters.busy_s, counters.tokens, counters.batches


def resident_megabytes() -> float:
    """Memory of this process at present; where the system does not say, its peak."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    return pages * resource.getpagesize() / 2**20


def _ratio(amount: float, seconds: float) -> float | None:
    return amount / seconds if seconds > 0 else None
