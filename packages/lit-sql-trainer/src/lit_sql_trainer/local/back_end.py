"""The back end that trains in this process: GRPO in PyTorch.

Importing it is cheap. The library takes a quarter of a minute to import, so that happens when everything was checked.
"""

from __future__ import annotations

import importlib
from pathlib import Path

from lit_sql_trainer.errors import ConfigError
from lit_sql_trainer.machine import environment
from lit_sql_trainer.machine.interrupt import Interrupt
from lit_sql_trainer.profile.profile import Profile
from lit_sql_trainer.report import report_or_say
from lit_sql_trainer.runs.folder import RunFolder
from lit_sql_trainer.runs.job import Ended, Job, resumed_run
from lit_sql_trainer.runs.waiting import waiting
from lit_sql_trainer.runs.watch import RunWatcher


class LocalBackEnd:
    """Trains the profile's model with the algorithm of this package."""

    def __init__(self, *, val_only: bool = False) -> None:
        if val_only:
            raise ConfigError(
                "val_only is for profiles that train with VERL: `lit-sql eval` measures a local checkpoint"
            )
        self._resumed = False
        self._resume_from: Path | None = None
        self._since = 0

    def resumed(self, profile: Profile, resume: Path | str, runs: Path) -> RunFolder:
        """The run to go on with, from its last checkpoint."""
        self._resumed = True
        return resumed_run(profile, resume, runs)

    def admit(self, profile: Profile) -> Profile:
        """Any machine can do; the settings are as they are."""
        return profile

    def planned_steps(self, profile: Profile, tasks: int) -> int:
        """As the settings say, however many tasks there are."""
        return profile.local.steps

    def prepare(self, job: Job) -> list[str]:
        """Import the library, and find the checkpoint to go on from.

        Raises:
            RunError: a resumed run has no sound checkpoint.
        """
        with waiting("importing Agent-lightning"):  # before the interrupt: until here there is nothing to save
            for module in ("agent.agent", "local.algorithm", "rollouts.trainer"):
                importlib.import_module(f"lit_sql_trainer.{module}")
        environment.quiet_loggers(job.run.library_log)  # the library has put up loggers of its own
        if self._resumed:
            from lit_sql_trainer.local.checkpoint import LAST, read_state, sound_checkpoint, sweep  # torch: 2 s

            sweep(job.run.checkpoints)
            self._resume_from = sound_checkpoint(job.run.checkpoints / LAST, say=job.display.note)
            self._since = read_state(self._resume_from).step
            job.run.forget_after(self._since)
        return []

    def run(self, job: Job, interrupt: Interrupt) -> None:
        """Train until the last step, or until something ends the run before.

        Raises:
            TrainerError: one of its kinds, after the finished steps were saved.
        """
        from lit_sql_trainer.agent.agent import LitSQLAgent  # the library: 15 s
        from lit_sql_trainer.local.algorithm import LocalGrpo
        from lit_sql_trainer.rollouts.trainer import fit, make_trainer

        profile, run = job.profile, job.run
        watcher = RunWatcher(run, job.display, monitors=profile.monitors, report=report_or_say)
        algorithm = LocalGrpo(
            model=job.model,
            checkpoints=run.checkpoints,
            settings=profile.local,
            observer=watcher,
            should_stop=lambda: interrupt() or watcher.should_stop(),
            give_up=lambda train: interrupt.overdue() if train else interrupt(),
            resume_from=self._resume_from,
        )
        agent = LitSQLAgent(data=job.data.folder, settings=profile.rollout, rollouts_file=run.rollouts_file)
        trainer = make_trainer(profile, algorithm=algorithm, port=job.port)
        fit(trainer, agent, job.data, say=lambda text: job.display.note(f"{text}; see {run.library_log}"))

    def ended(self, job: Job) -> Ended:
        """The last checkpoint, and where the best model is."""
        last = job.run.checkpoints / "last"
        return Ended(
            checkpoint=last if last.is_dir() else None,
            since=self._since,
            kept=f"best model in {job.run.checkpoints / 'best'}",
            otherwise="",
        )
