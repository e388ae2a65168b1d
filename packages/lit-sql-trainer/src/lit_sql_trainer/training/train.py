"""From a profile to a trained model: checks, the run folder, then the algorithm that the profile names.

The cheap checks come first and each fails in a second with one line; the library, which takes a quarter of a minute
to import, comes last. The local algorithm is put together here, VERL in `verl_run`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from lit_sql_trainer.data import TrainingData, embedded_data, load_data
from lit_sql_trainer.errors import ConfigError
from lit_sql_trainer.machine import environment
from lit_sql_trainer.machine.interrupt import Interrupt
from lit_sql_trainer.models.folder import model_source
from lit_sql_trainer.preflight import quick_look
from lit_sql_trainer.profile.overrides import apply_assignments, from_plain, to_plain
from lit_sql_trainer.profile.profile import Profile
from lit_sql_trainer.report import report_or_say
from lit_sql_trainer.runs.console import Display, open_display
from lit_sql_trainer.runs.folder import RunFolder, append_line, create_run
from lit_sql_trainer.runs.waiting import waiting
from lit_sql_trainer.runs.watch import RunWatcher
from lit_sql_trainer.training.ending import DONE, TrainResult, resumed_run, stopped_by

STOPPING = "finishing the step, then writing the checkpoint; once more to end at once without"
RUNNER_DIED = "Subprocesses failed"
"""How the library begins to say so, after everything else has ended."""


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
    if profile.verl is not None:
        from lit_sql_trainer.training.verl_run import run_verl

        return run_verl(
            profile,
            runs=runs,
            name=name,
            port=port,
            resume=resume,
            val_only=val_only,
            check=check,
            display=display,
        )
    if val_only:
        raise ConfigError("val_only is for profiles that train with VERL: `lit-sql eval` measures a local checkpoint")
    environment.check_versions()
    environment.check_start_method()
    if port is not None:
        environment.check_port(port)
    run = resumed_run(profile, resume, runs) if resume is not None else None
    if run is not None:
        profile = from_plain(Profile, run.config())
    data = load_data(
        profile.data or embedded_data(),
        train_tasks=profile.train_tasks,
        validation_tasks=profile.validation_tasks,
    )
    model = model_source(profile.model)
    environment.guard_environment(local_model=Path(model).is_dir())
    display = display or open_display(profile.local.steps)
    if check:
        quick_look(profile, runs=runs, say=display.note)
    run = run or create_run(runs, profile=profile.name, config=to_plain(profile), name=name)
    with run.locked():
        return _fit(profile, run, data, model=model, port=port, resumed=resume is not None, display=display)


def _fit(
    profile: Profile,
    run: RunFolder,
    data: TrainingData,
    *,
    model: str,
    port: int | None,
    resumed: bool,
    display: Display,
) -> TrainResult:
    environment.quiet_loggers(run.library_log)
    display.note(f"run {run.path}: profile {profile.name!r}, model {model}, data {data.folder}")
    with waiting("importing Agent-lightning"):  # before the interrupt: until here there is nothing to save
        from lit_sql_trainer.agent.agent import LitSQLAgent
        from lit_sql_trainer.local.algorithm import LocalGrpo
        from lit_sql_trainer.rollouts.trainer import make_trainer
    environment.quiet_loggers(run.library_log)  # the library has put up loggers of its own
    resume_from = _last_checkpoint(run, display) if resumed else None

    with Interrupt(lambda: display.note(STOPPING)) as interrupt, display:
        watcher = RunWatcher(run, display, monitors=profile.monitors, report=report_or_say)
        algorithm = LocalGrpo(
            model=model,
            checkpoints=run.checkpoints,
            settings=profile.local,
            observer=watcher,
            should_stop=lambda: interrupt() or watcher.should_stop(),
            give_up=lambda train: interrupt.overdue() if train else interrupt(),
            resume_from=resume_from,
        )
        agent = LitSQLAgent(data=data.folder, settings=profile.rollout, rollouts_file=run.rollouts_file)
        trainer = make_trainer(profile, algorithm=algorithm, port=port)
        train_rows, validation_rows = (
            [dict(task.to_row()) for task in split] for split in (data.train, data.validation)
        )
        try:
            trainer.fit(agent, train_rows, val_dataset=validation_rows)
        except RuntimeError as error:
            if not str(error).startswith(RUNNER_DIED):
                raise
            # The algorithm has ended by itself; what the dead runner held was dropped and counted.
            display.note(f"a runner process ended badly ({error}); see {run.library_log}")
    return _finish(profile, run, display, watcher, signal_number=interrupt.signal)


def _last_checkpoint(run: RunFolder, display: Display) -> Path:
    from lit_sql_trainer.local.checkpoint import LAST, read_state, sound_checkpoint, sweep

    sweep(run.checkpoints)
    checkpoint = sound_checkpoint(run.checkpoints / LAST, say=display.note)
    run.forget_after(read_state(checkpoint).step)
    return checkpoint


def _finish(
    profile: Profile, run: RunFolder, display: Display, watcher: RunWatcher, *, signal_number: int | None
) -> TrainResult:
    steps = max((int(line["step"]) for line in run.metrics()), default=0)
    last = run.checkpoints / "last"
    short = steps < profile.local.steps
    result = TrainResult(
        run=run,
        steps=steps,
        checkpoint=last if last.is_dir() else None,
        interrupted=signal_number is not None and short,
        signal_number=signal_number if short else None,
        alarm=watcher.alarm if short and signal_number is None else "",
    )
    reason = _why_ended(result, watcher.out_of_patience if short else "")
    append_line(run.metrics_file, {"event": "end", "step": steps, "reason": reason})
    report_or_say(run, display)
    seen = f"report in {run.report_file}"
    go_on = f"go on with `train {profile.name} --resume {run.path}`"
    if result.interrupted and result.checkpoint is None:
        display.note(f"stopped before there was anything to keep; start it again with `train {profile.name}`")
    elif result.interrupted:
        display.note(f"stopped after step {steps}; {go_on}")
    elif result.alarm:
        monitor = result.alarm.partition(":")[0]
        display.note(f"stopped after step {steps} by the alarm {monitor}; checkpoint in {last}, {seen}; {go_on}")
    elif reason != DONE:
        display.note(f"ended early after step {steps}: {reason}; best model in {run.checkpoints / 'best'}, {seen}")
    else:
        display.note(f"done: best model in {run.checkpoints / 'best'}, {seen}")
    return result


def _why_ended(result: TrainResult, out_of_patience: str) -> str:
    if result.signal_number is not None:
        return f"stopped by {stopped_by(result.signal_number)}"
    if result.alarm:
        return f"stopped by an alarm, {result.alarm}"
    return out_of_patience or DONE
