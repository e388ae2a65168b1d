"""The training loop on VERL's workers: roll out, update, validate, checkpoint. Runs inside Ray.

Takes the library's trainer class for what it inherits from VERL (workers, vLLM, checkpoints) and replaces the loop:

- rollouts that failed for our reasons are dropped and counted, never filled with a reward;
- an advantage belongs to a rollout, not to each of its calls (`rollouts.advantage`, shared with the local algorithm);
- a batch becomes `train_batch_size / ppo_mini_batch_size` optimiser steps on whole groups, no row is left out;
- a batch without a gradient is a step without an update, counted as such;
- validation is greedy and seeded, with numbers per hardness.

`validate` and `update` are where a subclass looks in (the proof of `sql-train` does).
"""

# verl, ray and omegaconf ship no types, and the environment in which types are checked has none of them:
# pyright: reportMissingImports=false, reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUntypedBaseClass=false

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from agentlightning.verl.trainer import AgentLightningTrainer
from omegaconf import OmegaConf, open_dict
from ray.exceptions import RayError
from verl import DataProto
from verl.utils.metric import reduce_metrics
from verl.utils.tracking import Tracking

from lit_sql_trainer.errors import RunError, TrainerError
from lit_sql_trainer.local.loop import resident_megabytes
from lit_sql_trainer.profile.overrides import from_plain
from lit_sql_trainer.profile.verl import LitSql
from lit_sql_trainer.report import report_or_say
from lit_sql_trainer.rollouts.episodes import Collected
from lit_sql_trainer.rollouts.groups import Gathering, StepBatch
from lit_sql_trainer.rollouts.metrics import (
    StepMetrics,
    UpdateMetrics,
    ValidationMetrics,
    describe_batch,
    describe_validation,
)
from lit_sql_trainer.rollouts.plan import training_plan, validation_plan
from lit_sql_trainer.rollouts.seeds import TaskOrder
from lit_sql_trainer.runs.folder import RunFolder
from lit_sql_trainer.runs.watch import RunWatcher
from lit_sql_trainer.verl.daemon import SqlDaemon
from lit_sql_trainer.verl.foreign import Foreign, VerlConfig, last_line
from lit_sql_trainer.verl.plan import update_plan
from lit_sql_trainer.verl.relay import RUN_KEY, SETTINGS_KEY, LinesOnly, RunFacts, flat_numbers
from lit_sql_trainer.verl.rows import Row, deal, trained_rows
from lit_sql_trainer.verl.state import VerlState, keep_as_best, read_state, write_state
from lit_sql_trainer.verl.tensors import mini_batch_tensors


class SqlTrainer(AgentLightningTrainer):
    """See the module. Made by the library with VERL's composed configuration, which holds our sections too."""

    def __init__(self, *, config: Foreign, **parts: Foreign) -> None:
        plain = cast("VerlConfig", OmegaConf.to_container(config, resolve=True))
        self.facts = from_plain(RunFacts, plain[RUN_KEY])
        self.settings = from_plain(LitSql, plain.get(SETTINGS_KEY) or {})
        self.plan = update_plan(plain, max_calls=self.facts.max_calls, refill_factor=self.settings.refill_factor)
        self.normalise = bool(plain["algorithm"].get("norm_adv_by_std_in_grpo", True))
        with open_dict(config):
            actor = config.actor_rollout_ref.actor
            actor.ppo_mini_batch_size = self.plan.worker_mini_batch_size
            actor.loss_agg_mode = self.plan.loss_mode
            # A worker gets one mini-batch at a time; without this it would take each for a batch of its own, and
            # the ratio to the policy that sampled would be 1 by construction.
            actor.use_rollout_log_probs = self.plan.parts > 1
        super().__init__(config=config, **parts)
        with open_dict(config):
            actor.optim.total_training_steps = self.total_training_steps * self.plan.parts
            if actor.optim.lr_warmup_steps > 0:
                actor.optim.lr_warmup_steps *= self.plan.parts
        self.run = RunFolder(path=Path(self.facts.folder))
        self.watcher = RunWatcher(self.run, LinesOnly(), monitors=self.facts.monitors, report=report_or_say)
        self.state = VerlState(seed=self.settings.seed)
        self.saved_step: int | None = None
        self.skipped_updates = 0
        self.tasks = self._rows(self.train_dataset)
        self.validation_tasks = self._rows(self.val_dataset)

    def fit(self) -> None:
        """Train from the last checkpoint, or from the start, to the last step.

        Raises:
            TrainerError: one of its kinds, after the finished steps were saved where that was possible.
        """
        self._open()
        try:
            self._train()
        except TrainerError:
            self._rescue()
            raise
        except RayError as error:
            self._rescue()
            raise RunError(
                f"a process of VERL failed after step {self.state.step}: {last_line(error)}; its own words are in "
                f"the logs under /tmp/ray/session_latest/logs. Resume when the cause is repaired"
            ) from error
        finally:
            self.daemon.close()
            self.tracking = None  # its end is what makes a logger such as W&B send the rest; Ray kills this process

    def _open(self) -> None:
        trainer = self.config.trainer
        self.tracking: Foreign = Tracking(
            project_name=trainer.project_name,
            experiment_name=trainer.experiment_name,
            default_backend=trainer.logger,
            config=OmegaConf.to_container(self.config, resolve=True),
        )
        self.global_steps = 0
        self._load_checkpoint()
        if self.global_steps:
            folder = Path(trainer.default_local_dir) / f"global_step_{self.global_steps}"
            if trainer.resume_mode == "resume_path":
                folder = Path(trainer.resume_from_path)
            self.state = read_state(folder)
            if self.state.seed != self.settings.seed:
                raise RunError(
                    f"checkpoint {folder} was trained with seed {self.state.seed}, not {self.settings.seed}: resume "
                    f"with --set lit_sql.seed={self.state.seed}"
                )
            self.saved_step = self.global_steps
        daemon_cls: Foreign = self.daemon_cls  # the library hands over the class that it was given
        self.daemon: SqlDaemon = daemon_cls(
            store=self.store,
            adapter=self.adapter,
            model=self.config.actor_rollout_ref.model.path,
            temperature=float(self.config.actor_rollout_ref.rollout.temperature),
            settings=self.settings,
        )

    def _train(self) -> None:
        trainer = self.config.trainer
        resumed, only = bool(self.state.step), bool(trainer.get("val_only"))
        if only or (trainer.get("val_before_train", True) and not resumed):
            self.validate()
        if only:
            return
        while self.state.step < self.total_training_steps and not self._should_end():
            self.step()
            last = self.state.step >= self.total_training_steps
            every = trainer.test_freq
            gained = self.validate() if every > 0 and (last or self.state.step % every == 0) else False
            if trainer.save_freq > 0:
                if last or self.state.step % trainer.save_freq == 0 or (gained and self.settings.keep_best):
                    self._save_checkpoint()
                if gained and self.settings.keep_best:
                    keep_as_best(self._folder())
        if trainer.save_freq > 0:
            self._save_checkpoint()

    def _should_end(self) -> bool:
        asked = self.facts.stop_file.exists() or self.watcher.should_stop()
        return asked or self.state.stalled(self.settings.early_stop_steps)

    def step(self) -> None:
        """One step: the groups of a batch, its updates, a line of metrics."""
        started = time.monotonic()
        order = TaskOrder(len(self.tasks), seed=self.settings.seed, consumed=self.state.tasks_consumed)
        gathering = Gathering(
            wanted=self.plan.groups, refill_factor=self.settings.refill_factor, normalise=self.normalise
        )
        with self._serving():
            served = time.monotonic()
            while count := gathering.missing():
                gathering.add(count, self._round(order, count))
        batch = gathering.batch()
        updating = time.monotonic()
        stats = self._learn(batch)
        ended = time.monotonic()
        self.state = replace(self.state, step=self.state.step + 1, tasks_consumed=order.consumed)
        self.global_steps = self.state.step
        total = batch.collected
        sampled = sum(len(call.token_ids) for episode in total.episodes for call in episode.calls)
        metrics: StepMetrics = {
            "step": self.state.step,
            **describe_batch(batch, dropped_total=self.daemon.drops.dropped),
            **stats,
            "skipped_updates": self.skipped_updates,
            "tokens_per_s": sampled / total.seconds if total.seconds else None,
            "seconds_sync": served - started,
            "seconds_rollout": total.seconds,
            "seconds_adapt": total.adapt_seconds,
            "seconds_update": ended - updating,
            "seconds": ended - started,
            "rss_mb": resident_megabytes(),
        }
        self.watcher.on_step(metrics)
        self.tracking.log(data=flat_numbers(metrics, "train"), step=self.state.step)

    def _round(self, order: TaskOrder, count: int) -> Collected:
        step = self.state.step
        plan = training_plan(self.tasks, order, count, rollouts=self.plan.rollouts, seed=self.settings.seed, step=step)
        return self.daemon.collect(plan, train=True, step=step + 1)

    def _learn(self, batch: StepBatch) -> UpdateMetrics:
        trained = trained_rows(
            batch.groups,
            batch.advantages,
            max_prompt=self.plan.max_prompt,
            max_reply=self.plan.max_reply,
            weighting=self.settings.weighting,
        )
        counts: UpdateMetrics = {"prompts_too_long": trained.prompts_too_long, "replies_cut": trained.replies_cut}
        parts = deal(trained, parts=self.plan.parts, seed=self.settings.seed, step=self.state.step)
        if not parts:
            self.skipped_updates += 1
            return {**counts, "rows": 0, "optimiser_steps": 0, "trained_tokens": 0}
        most = max(map(len, parts))
        if most > self.plan.capacity * self.plan.ranks:
            raise RunError(
                f"a mini-batch has {most} model calls but there is room for {self.plan.capacity * self.plan.ranks}: a "
                f"rollout made more than {self.facts.max_calls} trained calls, which the agent should not allow"
            )
        return {**counts, **self.update(parts, normaliser=trained.weighted_tokens / len(parts))}

    def update(self, parts: Sequence[Sequence[Row]], *, normaliser: float) -> UpdateMetrics:
        """One optimiser step for each part. Old log-probabilities are taken for all parts before the first step."""
        rollout = self.config.actor_rollout_ref.rollout
        meta = {"temperature": rollout.temperature, "multi_turn": rollout.multi_turn.enable}
        batches: list[DataProto] = []
        entropy, tokens = 0.0, 0
        for rows in parts:
            batch = mini_batch_tensors(
                rows, plan=self.plan, normaliser=normaliser, pad_token=self.tokenizer.pad_token_id, meta=meta
            )
            if self.config.trainer.balance_batch and self.plan.ranks > 1:
                self._balance_batch(batch, metrics={})
            old = self.actor_rollout_wg.compute_log_prob(batch)
            mask = batch.batch["response_mask"]
            entropy += float((old.batch.pop("entropys") * mask).sum())
            tokens += int(mask.sum())
            batch = batch.union(old)
            if self.use_reference_policy:
                batch = batch.union(self._compute_reference_log_prob(batch))
            batches.append(batch)
        outputs = [self.optimiser_step(batch) for batch in batches]
        return {
            "rows": sum(map(len, parts)),
            "optimiser_steps": len(outputs),
            "trained_tokens": sum(len(row.token_ids) for rows in parts for row in rows),
            "loss": _mean_of(outputs, "actor/pg_loss"),
            "grad_norm": _mean_of(outputs, "actor/grad_norm"),
            "clip_fraction": _mean_of(outputs, "actor/pg_clipfrac"),
            "kl_start": _mean_of(outputs, "actor/kl_loss"),
            "entropy": entropy / tokens,
            "learning_rate": _mean_of(outputs, "actor/lr"),
            "gpu_memory_gb": _mean_of(outputs, "perf/max_memory_allocated_gb"),
            "host_memory_gb": _mean_of(outputs, "perf/cpu_memory_used_gb"),
        }

    def optimiser_step(self, batch: Foreign) -> dict[str, float]:
        """One mini-batch through VERL's actor; its metrics, averaged over micro-batches and workers."""
        return reduce_metrics(self.actor_rollout_wg.update_actor(batch).meta_info["metrics"])

    def validate(self) -> bool:
        """Score the present weights, greedily; whether they are the best so far."""
        started = time.monotonic()
        plan = validation_plan(self.validation_tasks, seed=self.settings.seed)
        with self._serving():
            result = self.daemon.collect(plan, train=False, step=self.state.step)
        numbers = describe_validation(result, self.validation_tasks)
        before = self.state
        if numbers["reward"] is not None:
            self.state = before.validated(numbers["reward"], numbers["standard_error"] or 0.0)
        best = self.state.best_validation != before.best_validation
        metrics: ValidationMetrics = {
            "step": self.state.step,
            **numbers,
            "best": best,
            "seconds": time.monotonic() - started,
        }
        self.watcher.on_validation(metrics)
        self.tracking.log(data=flat_numbers(metrics, "val"), step=self.state.step)
        return best

    @contextlib.contextmanager
    def _serving(self) -> Generator[None]:
        """The present weights in vLLM while it is entered; in between its memory belongs to the update."""
        self.async_rollout_manager.wake_up()
        self.daemon.open(self.async_rollout_manager.server_addresses)
        yield
        self.async_rollout_manager.sleep()

    def _save_checkpoint(self) -> None:
        if self.saved_step == self.state.step:
            return
        write_state(self._folder(), self.state)  # before VERL's own parts: the last of those declares it whole
        super()._save_checkpoint()
        self.saved_step = self.state.step

    def _folder(self) -> Path:
        return Path(self.config.trainer.default_local_dir) / f"global_step_{self.state.step}"

    def _rescue(self) -> None:
        """Save the finished steps after a failure, as far as the workers still answer."""
        if self.config.trainer.save_freq <= 0 or not self.state.step:
            return
        with contextlib.suppress(RayError):
            self.async_rollout_manager.sleep()
        try:
            self._save_checkpoint()
        except (RayError, OSError) as error:
            print(f"the finished steps could not be saved: {error}")

    def _rows(self, dataset: Foreign) -> list[dict[str, object]]:
        return [dict(dataset.dataframe[index]) for index in range(len(dataset.dataframe))]


def _mean_of(outputs: Sequence[dict[str, float]], name: str) -> float | None:
    values = [float(output[name]) for output in outputs if name in output]
    return sum(values) / len(values) if values else None
