"""The back end that trains with VERL: what is refused, what is resumed, and what VERL is told.

Importing it is cheap; `launch` imports the GPU stack when training begins.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path

from lit_sql_trainer.errors import RunError
from lit_sql_trainer.machine import admission
from lit_sql_trainer.machine.devices import Attention, attention_backend
from lit_sql_trainer.machine.interrupt import Interrupt
from lit_sql_trainer.models.checkpoints import VerlCheckpoint, last_checkpoint, run_of
from lit_sql_trainer.profile.named import PROFILES
from lit_sql_trainer.profile.profile import Profile
from lit_sql_trainer.profile.verl import Device
from lit_sql_trainer.runs.folder import RunFolder
from lit_sql_trainer.runs.job import Ended, Job, resumed_run
from lit_sql_trainer.verl.config import check_config, verl_config
from lit_sql_trainer.verl.foreign import Section, VerlConfig
from lit_sql_trainer.verl.launch import train_with_verl

OUTPUT_VARIABLE = "GITHUB_OUTPUT"


class VerlBackEnd:
    """Trains the profile's model with VERL, in Ray.

    Args:
        val_only: validate a checkpoint and train nothing.
    """

    def __init__(self, *, val_only: bool = False) -> None:
        self._val_only = val_only
        self._start: VerlCheckpoint | None = None
        self._config: VerlConfig = {}

    def resumed(self, profile: Profile, resume: Path | str, runs: Path) -> RunFolder:
        """The run to go on with, from the checkpoint that is named or its last one.

        Raises:
            RunError: there is no such run or checkpoint.
        """
        place, named = run_of(Path(resume))
        run = resumed_run(profile, place, runs)
        self._start = named or last_checkpoint(run.checkpoints)
        if self._start is None and not self._val_only:
            raise RunError(
                f"run {run.name!r} has no complete checkpoint in {run.checkpoints}: start it again with "
                f"`train {profile.name}`"
            )
        return run

    def admit(self, profile: Profile) -> Profile:
        """The profile as it will run. Refuses in turn: named data, token, accelerator, the benchmark's usual place.

        Raises:
            DataError: no such data folder.
            ModelError: a gated model and no token.
            SetupError: no accelerator, or no GPU stack.
        """
        profile = validating(profile) if self._val_only else profile
        usual = PROFILES[profile.name].data if profile.name in PROFILES else None
        admission.check_data_named(profile, usual)
        admission.check_token(profile.model)
        admission.check_accelerator(profile)
        admission.check_data_default(profile)
        return profile

    def planned_steps(self, profile: Profile, tasks: int) -> int:
        """Steps of a whole run over so many training questions."""
        return planned_steps(profile, tasks)

    def prepare(self, job: Job) -> list[str]:
        """Compose what VERL is told; lines about it.

        Raises:
            ConfigError: VERL reads no such key.
        """
        npu = job.profile.gpu.trainer.device is Device.NPU
        attention = Attention.FLASH if npu else attention_backend()  # on an NPU, VERL brings its own
        self._config = verl_config(
            job.profile,
            data=job.data.folder,
            experiment=job.run.name,
            checkpoints=job.run.checkpoints.resolve(),
            resume_from=self._start.path if self._start else None,
            attention=attention,
        )
        check_config(self._config)
        if not self._val_only:
            if self._start is not None:
                job.run.forget_after(self._start.step)
            job.run.plan_steps(job.steps)
        return [f"attention: {attention.meaning}", *announce(self._config)]

    def run(self, job: Job, interrupt: Interrupt) -> None:
        """Train, or validate; see `launch.train_with_verl`."""
        train_with_verl(
            job.profile,
            config=self._config,
            run=job.run,
            data=job.data,
            model=job.model,
            display=job.display,
            interrupt=interrupt,
            port=job.port,
        )

    def ended(self, job: Job) -> Ended:
        """The last checkpoint, and where all are."""
        last = last_checkpoint(job.run.checkpoints)
        return Ended(
            checkpoint=last.path if last else None,
            since=self._start.step if self._start else 0,
            kept=f"checkpoints in {job.run.checkpoints}",
            otherwise=f"validation gained nothing for {job.profile.gpu.lit_sql.early_stop_steps} steps",
        )


def validating(profile: Profile) -> Profile:
    """The same profile, to validate and train nothing."""
    trainer = dataclasses.replace(profile.gpu.trainer, val_only=True)
    return dataclasses.replace(profile, verl=dataclasses.replace(profile.gpu, trainer=trainer))


def planned_steps(profile: Profile, tasks: int) -> int:
    """Steps of a whole run over so many training questions; VERL leaves out each epoch's last, partial batch."""
    trainer = profile.gpu.trainer
    if trainer.val_only:
        return 0
    by_epochs = tasks // profile.gpu.data.train_batch_size * trainer.total_epochs
    return by_epochs if trainer.total_training_steps is None else trainer.total_training_steps


def announce(config: Section, environment: Mapping[str, str] = os.environ) -> list[str]:
    """Project and experiment as lines to print; also appended to the file that GITHUB_OUTPUT names."""
    trainer = config["trainer"]
    lines = [f"{name}={trainer[name]}" for name in ("project_name", "experiment_name")]
    if file := environment.get(OUTPUT_VARIABLE):
        with Path(file).open("a", encoding="utf-8") as output:
            output.write("".join(f"{line}\n" for line in (*lines, f"run_name={trainer['experiment_name']}")))
    return lines
