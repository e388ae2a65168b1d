"""One run with VERL around the run folder: what is refused, what is resumed, and what VERL is told.

`admission` asks the questions, `verl_dictionary` writes what VERL is told, `verl.launch` trains with it.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lit_sql_trainer.data import embedded_data, load_data
from lit_sql_trainer.errors import RunError
from lit_sql_trainer.machine import admission, environment
from lit_sql_trainer.machine.devices import Attention, attention_backend
from lit_sql_trainer.machine.interrupt import Interrupt
from lit_sql_trainer.models.checkpoints import VerlCheckpoint, last_checkpoint, run_of
from lit_sql_trainer.models.folder import model_source
from lit_sql_trainer.monitors import replay
from lit_sql_trainer.preflight import quick_look
from lit_sql_trainer.profile.named import PROFILES
from lit_sql_trainer.profile.overrides import from_plain, to_plain
from lit_sql_trainer.profile.profile import Profile
from lit_sql_trainer.profile.verl import Device
from lit_sql_trainer.report import report_or_say
from lit_sql_trainer.runs.console import Display, open_display
from lit_sql_trainer.runs.folder import RunFolder, append_line, create_run
from lit_sql_trainer.training.ending import DONE, TrainResult, resumed_run, stopped_by
from lit_sql_trainer.verl.config import check_config, verl_config

OUTPUT_VARIABLE = "GITHUB_OUTPUT"


def run_verl(
    profile: Profile,
    *,
    runs: Path,
    name: str | None,
    port: int | None,
    resume: Path | str | None,
    val_only: bool,
    check: bool,
    display: Display | None,
) -> TrainResult:
    """Train with VERL; see `training.train`, which calls this.

    Raises:
        TrainerError: what is refused, or the run failed.
    """
    run, start = _resumed(profile, resume, runs, val_only=val_only) if resume is not None else (None, None)
    if run is not None:
        profile = from_plain(Profile, run.config())
    if val_only:
        profile = validating(profile)
    admit(profile)
    if port is not None:
        environment.check_port(port)
    environment.check_start_method()
    environment.check_versions()
    data = load_data(
        profile.data or embedded_data(),
        train_tasks=profile.train_tasks,
        validation_tasks=profile.validation_tasks,
    )
    model = model_source(profile.model)
    npu = profile.gpu.trainer.device is Device.NPU
    attention = Attention.FLASH if npu else attention_backend()  # on an NPU, VERL brings its own
    environment.guard_environment(local_model=Path(model).is_dir())
    display = display or open_display(planned_steps(profile, len(data.train)))
    if check:
        quick_look(profile, runs=runs, say=display.note)
    run = run or create_run(runs, profile=profile.name, config=to_plain(profile), name=name)
    config = verl_config(
        profile,
        data=data.folder,
        experiment=run.name,
        checkpoints=run.checkpoints.resolve(),
        resume_from=start.path if start else None,
        attention=attention,
    )
    check_config(config)
    if start is not None and not val_only:
        run.forget_after(start.step)
    steps = planned_steps(profile, len(data.train))
    if not val_only:
        run.plan_steps(steps)
    display.note(f"run {run.path}: profile {profile.name!r}, model {model}, data {data.folder}")
    display.note(f"attention: {attention.meaning}")
    for line in announce(config):
        display.note(line)
    environment.quiet_loggers(run.library_log)

    def stopping() -> None:
        display.note("finishing the step, then writing the checkpoint; once more to end at once without")

    with Interrupt(stopping) as interrupt, display:
        from lit_sql_trainer.verl.launch import train_with_verl

        train_with_verl(
            profile,
            config=config,
            run=run,
            data=data,
            model=model,
            display=display,
            interrupt=interrupt,
            port=port,
        )
    since = start.step if start else 0
    return _finish(profile, run, display, steps, since=since, signal_number=interrupt.signal, val_only=val_only)


def admit(profile: Profile) -> None:
    """Refuse what cannot run here: named data, token, accelerator, then the benchmark at its usual place.

    Raises:
        DataError: no such data folder.
        ModelError: a gated model and no token.
        SetupError: no accelerator, or no GPU stack.
    """
    usual = PROFILES[profile.name].data if profile.name in PROFILES else None
    admission.check_data_named(profile, usual)
    admission.check_token(profile.model)
    admission.check_accelerator(profile)
    admission.check_data_default(profile)


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


def announce(config: Mapping[str, Any], environment: Mapping[str, str] = os.environ) -> list[str]:
    """Project and experiment as lines to print; also appended to the file that GITHUB_OUTPUT names."""
    trainer = config["trainer"]
    lines = [f"{name}={trainer[name]}" for name in ("project_name", "experiment_name")]
    if file := environment.get(OUTPUT_VARIABLE):
        with Path(file).open("a", encoding="utf-8") as output:
            output.write("".join(f"{line}\n" for line in (*lines, f"run_name={trainer['experiment_name']}")))
    return lines


def _resumed(
    profile: Profile, resume: Path | str, runs: Path, *, val_only: bool
) -> tuple[RunFolder, VerlCheckpoint | None]:
    place, start = run_of(Path(resume))
    run = resumed_run(profile, place, runs)
    start = start or last_checkpoint(run.checkpoints)
    if start is None and not val_only:
        raise RunError(
            f"run {run.name!r} has no complete checkpoint in {run.checkpoints}: start it again with "
            f"`train {profile.name}`"
        )
    return run, start


def _finish(
    profile: Profile,
    run: RunFolder,
    display: Display,
    planned: int,
    *,
    since: int,
    signal_number: int | None,
    val_only: bool,
) -> TrainResult:
    last = last_checkpoint(run.checkpoints)
    lines = run.metrics()
    steps = max((int(line["step"]) for line in lines), default=0)
    short = steps < planned
    book, alarms = replay(lines, profile.monitors)
    new = [alarm for alarm in alarms if alarm.step > since]  # one that ended an earlier part has been told
    alarm = f"{new[0].monitor}: {new[0].text}" if new and profile.monitors.stop_on_alarm else ""
    result = TrainResult(
        run=run,
        steps=steps,
        checkpoint=last.path if last else None,
        interrupted=signal_number is not None and short,
        signal_number=signal_number if short else None,
        alarm=alarm if short and signal_number is None else "",
    )
    if val_only:
        display.note(f"validated; the numbers are in {run.metrics_file}")
        return result
    reason = DONE
    if result.signal_number is not None:
        reason = f"stopped by {stopped_by(result.signal_number)}"
    elif result.alarm:
        reason = f"stopped by an alarm, {result.alarm}"
    elif short:
        patience = f"validation gained nothing for {profile.gpu.lit_sql.early_stop_steps} steps"
        reason = book.out_of_patience() or patience
    append_line(run.metrics_file, {"event": "end", "step": steps, "reason": reason})
    seen = f"report in {run.report_file}"
    report_or_say(run, display)
    if result.interrupted or result.alarm:
        display.note(f"{reason}, after step {steps}; go on with `train {profile.name} --resume {run.path}`")
    elif reason != DONE:
        display.note(f"ended early after step {steps}: {reason}; checkpoints in {run.checkpoints}, {seen}")
    else:
        display.note(f"done: checkpoints in {run.checkpoints}, {seen}")
    return result
