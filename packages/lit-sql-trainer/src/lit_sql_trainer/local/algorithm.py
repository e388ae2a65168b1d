"""GRPO on Agent-lightning, in this process: roll out, read the traces, update, serve the new weights.

`loss.py` says how the objective differs from the papers, `collect.py` what becomes of a failed rollout, `seeds.py`
why an interrupted run continues as an unbroken one. `loop.py` is the loop that joins them; this module
opens what it needs and closes it again.

Torch is imported when the run begins, after the runners were forked: a forked process must not inherit its threads.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import agentlightning as agl  # pyright: ignore[reportMissingTypeStubs]  typed inline, but without a marker

from lit_sql_trainer.errors import ConfigError
from lit_sql_trainer.local.hosted import open_policy, server_of
from lit_sql_trainer.profile.grpo import GrpoSettings
from lit_sql_trainer.rollouts.collect import Collector
from lit_sql_trainer.rollouts.drops import DropWindow
from lit_sql_trainer.rollouts.observer import Observer
from lit_sql_trainer.rollouts.plan import Row
from lit_sql_trainer.rollouts.wire import MODEL_RESOURCE
from lit_sql_trainer.runs.waiting import waiting

if TYPE_CHECKING:
    from lit_sql_trainer.local.checkpoint import TrainingState
    from lit_sql_trainer.local.learner import Learner
    from lit_sql_trainer.local.server import LocalServer


class LocalGrpo(agl.Algorithm):
    """Trains the model at `model` on the rewards that the agent returns.

    Args:
        model: Hugging Face folder or hub name to start from.
        checkpoints: folder that gets `last/` and `best/`.
        settings: see `GrpoSettings`.
        observer: is called after every step and validation; see `rollouts.metrics`.
        should_stop: asked after each step; when it says yes the run writes its checkpoint and ends.
        give_up: asked while rollouts are under way, with whether they train; when it says yes they are left undone,
            and the run ends with the state before them.
        resume_from: a `last/` checkpoint to continue from; `model` is then only the reference of the KL term.

    The agent must accept a task row, pass `rollout.metadata["sampling_seed"]` to its requests, and be greedy unless
    `rollout.mode` is "train".
    """

    def __init__(
        self,
        *,
        model: str | Path,
        checkpoints: Path,
        settings: GrpoSettings,
        observer: Observer,
        should_stop: Callable[[], bool] = lambda: False,
        give_up: Callable[[bool], bool] = lambda train: False,
        resume_from: Path | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.checkpoints = checkpoints
        self.settings = settings
        self.observer = observer
        self.should_stop = should_stop
        self.give_up = give_up
        self.resume_from = resume_from

    async def run(
        self, train_dataset: agl.Dataset[Row] | None = None, val_dataset: agl.Dataset[Row] | None = None
    ) -> None:
        """Train; called by `agl.Trainer.fit`.

        Raises:
            TrainerError: one of its kinds, after the finished steps were saved.
        """
        tasks, validation = rows_of(train_dataset), rows_of(val_dataset)
        if self.settings.steps and not tasks:
            raise ConfigError("training needs at least one training task; set steps=0 to validate only")
        if self.give_up(False):
            return
        with waiting("loading the model"):
            from lit_sql_trainer.local.loop import TrainingLoop  # torch: 2 s, and not before the fork

            state, learner = self._open()
            server = server_of(learner.policy, self.settings)
            server.start()
        try:
            loop = TrainingLoop(
                settings=self.settings,
                observer=self.observer,
                should_stop=self.should_stop,
                checkpoints=self.checkpoints,
                resumed=self.resume_from is not None,
                state=state,
                learner=learner,
                server=server,
                collector=await self._collector(server),
            )
            await loop.train(tasks, validation)
        finally:
            server.stop()

    def _open(self) -> tuple[TrainingState, Learner]:
        from lit_sql_trainer.local.checkpoint import TrainingState, find_checkpoint, read_optimiser, read_state
        from lit_sql_trainer.local.learner import Learner

        reference = open_policy(self.model, self.settings) if self.settings.kl_coefficient else None
        if self.resume_from is None:
            learner = Learner(open_policy(self.model, self.settings), self.settings, reference=reference)
            return TrainingState(seed=self.settings.seed), learner
        state = read_state(self.resume_from)
        if state.seed != self.settings.seed:
            raise ConfigError(
                f"checkpoint {self.resume_from} was trained with seed {state.seed}, not {self.settings.seed}: its "
                f"numbers could not be continued; resume with --set seed={state.seed}"
            )
        policy = open_policy(find_checkpoint(self.resume_from), self.settings)
        learner = Learner(policy, self.settings, reference=reference)
        learner.restore(read_optimiser(self.resume_from))
        return state, learner

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
            work_done=lambda: server.generator.steps,
            give_up=self.give_up,
        )


def rows_of(dataset: agl.Dataset[Row] | None) -> list[Row]:
    """The tasks of one of the library's datasets; none of None."""
    return [] if dataset is None else [dataset[index] for index in range(len(dataset))]
