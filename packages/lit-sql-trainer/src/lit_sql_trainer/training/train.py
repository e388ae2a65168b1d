"""The one way in: checks, a run folder, a back end, one ending.

The cheap checks come first and each fails in a second with one line; the library, which takes a quarter of a minute
to import, comes last. Who trains is a back end: `local.back_end` or `verl.back_end`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from lit_sql_trainer.data import embedded_data, load_data
from lit_sql_trainer.local.back_end import LocalBackEnd
from lit_sql_trainer.machine import environment
from lit_sql_trainer.machine.interrupt import Interrupt
from lit_sql_trainer.models.folder import model_source
from lit_sql_trainer.preflight import quick_look
from lit_sql_trainer.profile.overrides import apply_assignments, from_plain, to_plain
from lit_sql_trainer.profile.profile import Profile
from lit_sql_trainer.runs.console import Display, open_display
from lit_sql_trainer.runs.folder import RunFolder, create_run
from lit_sql_trainer.runs.job import Ended, Job
from lit_sql_trainer.training.ending import TrainResult, end
from lit_sql_trainer.verl.back_end import VerlBackEnd

STOPPING = "finishing the step, then writing the checkpoint; once more to end at once without"


class BackEnd(Protocol):
    """Who trains. Its methods are called once each, in this order."""

    def resumed(self, profile: Profile, resume: Path | str, runs: Path) -> RunFolder:
        """The run to go on with; only called to resume one."""
        ...

    def admit(self, profile: Profile) -> Profile:
        """The profile as it will run, unless this machine cannot do that."""
        ...

    def planned_steps(self, profile: Profile, tasks: int) -> int:
        """Steps of a whole run over so many training tasks."""
        ...

    def prepare(self, job: Job) -> list[str]:
        """Everything that may still be refused; returns lines for the person at the terminal."""
        ...

    def run(self, job: Job, interrupt: Interrupt) -> None:
        """Train until the last step, or until something ends the run before."""
        ...

    def ended(self, job: Job) -> Ended:
        """What the run left."""
        ...


def configure(
    profile: Profile,
    assignments: Sequence[str] = (),
    *,
    model: str | None = None,
    data: Path | None = None,
    active_agent: str | None = None,
    runners: int | None = None,
) -> Profile:
    """A profile with `--set` assignments and the options of the command applied; options win.

    Raises:
        ConfigError: a key, a value or the combination makes no sense.
    """
    options = {"model": model, "data": data, "active_agent": active_agent, "runners": runners}
    given = {name: value for name, value in options.items() if value is not None}
    if data is not None:
        given["data"] = data.resolve()  # a run may be resumed from another place
    if model is not None and Path(model).is_dir():
        given["model"] = str(Path(model).resolve())
    return dataclasses.replace(apply_assignments(profile, assignments), **given)  # pyright: ignore[reportArgumentType]  each option has its field's type


def train(
    profile: Profile,
    *,
    runs: Path = Path("runs"),
    name: str | None = None,
    port: int | None = None,
    resume: Path | str | None = None,
    val_only: bool = False,
    check: bool = True,
    display: Display | None = None,
) -> TrainResult:
    """Train, or with `resume` go on with a run from its last checkpoint, under the settings it was started with.

    Args:
        profile: what to do; with `resume`, only its name counts.
        runs: where run folders are made.
        name: of the run folder; by default profile, time and commit.
        port: of the rollout store; by default a free one.
        resume: a run folder or its name; with VERL also one `global_step_N` in it.
        val_only: with `resume` of a run with VERL, validate its checkpoint and train nothing.
        check: refuse a machine whose memory or disk cannot do; see `preflight.quick_look`.
        display: who shows how it goes; by default a panel or lines.

    Raises:
        TrainerError: data, model, environment or run folder cannot be used, or the run failed.
    """
    back_end: BackEnd = (LocalBackEnd if profile.verl is None else VerlBackEnd)(val_only=val_only)
    run = None
    if resume is not None:
        run = back_end.resumed(profile, resume, runs)
        profile = from_plain(Profile, run.config())
    profile = back_end.admit(profile)
    environment.check_versions()
    environment.check_start_method()
    if port is not None:
        environment.check_port(port)
    data = load_data(
        profile.data or embedded_data(),
        train_tasks=profile.train_tasks,
        validation_tasks=profile.validation_tasks,
    )
    model = model_source(profile.model)
    environment.guard_environment(local_model=Path(model).is_dir())
    steps = back_end.planned_steps(profile, len(data.train))
    display = display or open_display(steps)
    if check:
        quick_look(profile, runs=runs, say=display.note)
    run = run or create_run(runs, profile=profile.name, config=to_plain(profile), name=name)
    job = Job(profile=profile, run=run, data=data, model=model, display=display, port=port, steps=steps)
    with run.locked():
        environment.quiet_loggers(run.library_log)
        display.note(f"run {run.path}: profile {profile.name!r}, model {model}, data {data.folder}")
        for line in back_end.prepare(job):
            display.note(line)
        with Interrupt(lambda: display.note(STOPPING)) as interrupt, display:
            back_end.run(job, interrupt)
        return end(job, back_end.ended(job), signal_number=interrupt.signal, val_only=val_only)
