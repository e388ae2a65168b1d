"""How every run ends: why, what it left, and how to go on."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from pathlib import Path

from lit_sql_trainer.monitors import replay
from lit_sql_trainer.report import report_or_say
from lit_sql_trainer.runs.folder import RunFolder, append_line
from lit_sql_trainer.runs.job import Ended, Job

DONE = "all steps done"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainResult:
    """Where a run left what it did."""

    run: RunFolder
    steps: int
    """Steps done, those before a resume included."""
    checkpoint: Path | None
    """The last checkpoint; None when the run ended before its first."""
    interrupted: bool
    """Whether somebody stopped it before its last step."""
    signal_number: int | None = None
    """The signal that did; None when nobody stopped it."""
    alarm: str = ""
    """The alarm that ended it before its last step (`monitors.stop_on_alarm`); empty when none did."""


def stopped_by(number: int) -> str:
    """A signal as the person knows it who sent it."""
    return "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name


def end(job: Job, ended: Ended, *, signal_number: int | None, val_only: bool = False) -> TrainResult:
    """Say why the run ended, in its last line of metrics, its report and to the person at the terminal."""
    run, display = job.run, job.display
    lines = run.metrics()
    steps = max((line["step"] for line in lines), default=0)
    short = steps < job.steps
    book, alarms = replay(lines, job.profile.monitors)
    new = [alarm for alarm in alarms if alarm.step > ended.since and job.profile.monitors.stop_on_alarm]
    result = TrainResult(
        run=run,
        steps=steps,
        checkpoint=ended.checkpoint,
        interrupted=signal_number is not None and short,
        signal_number=signal_number if short else None,
        alarm=f"{new[0].monitor}: {new[0].text}" if new and short and signal_number is None else "",
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
        reason = book.out_of_patience() or ended.otherwise or DONE
    append_line(run.metrics_file, {"event": "end", "step": steps, "reason": reason})
    report_or_say(run, display)
    display.note(_last_words(job, ended, result, reason))
    return result


def _last_words(job: Job, ended: Ended, result: TrainResult, reason: str) -> str:
    seen = f"report in {job.run.report_file}"
    go_on = f"go on with `train {job.profile.name} --resume {job.run.path}`"
    if result.interrupted and result.checkpoint is None:
        return f"stopped before there was anything to keep; start it again with `train {job.profile.name}`"
    if result.interrupted:
        return f"stopped after step {result.steps}; {go_on}"
    if result.alarm:
        monitor = result.alarm.partition(":")[0]
        where = f"checkpoint in {result.checkpoint}"
        return f"stopped after step {result.steps} by the alarm {monitor}; {where}, {seen}; {go_on}"
    if reason != DONE:
        return f"ended early after step {result.steps}: {reason}; {ended.kept}, {seen}"
    return f"done: {ended.kept}, {seen}"
