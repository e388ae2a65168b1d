"""Read what a report shows from a run's folder: metric lines in a limited number of points, ends, alarms, readings.

This module has no HTML. It also reads a run that is still running, was killed, or is older than some of the keys.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from lit_sql_trainer.errors import ConfigError, RunError
from lit_sql_trainer.monitors import Reading, replay
from lit_sql_trainer.profile.monitors import MonitorSettings
from lit_sql_trainer.profile.overrides import from_plain
from lit_sql_trainer.profile.verl_keys import flattened
from lit_sql_trainer.report.examples import Examples, read_examples
from lit_sql_trainer.rollouts.metrics import MetricLine
from lit_sql_trainer.runs.folder import RunFolder


class DrawnLine(MetricLine, total=False):
    """One step, or several consecutive steps as one."""

    reward_error: float | None
    """Upper bound of the standard error of the mean reward."""
    first_step: int


COUNTS = (
    "rollouts", "dropped", "select_star", "constant", "empty_matches", "main_only", "suites", "groups",
    "trained_tokens", "refilled_groups",
)  # fmt: skip
"""Numbers that add up over steps; the mean of any other is taken."""
OF_THE_UPDATE = ("entropy", "kl_start", "grad_norm", "clip_fraction")
"""Numbers that are 0 where a step trained nothing."""
LARGEST = ("step", "response_tokens_max", "query_seconds_max", "dropped_total")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunData:
    """One run as the report shows it."""

    name: str
    config: dict[str, object]
    """Dotted path → value."""
    environment: dict[str, object]
    steps: list[DrawnLine]
    """At most the requested number; each stands for one step or for several consecutive steps."""
    validations: Sequence[MetricLine]
    best: MetricLine | None
    """The validation with the highest reward, the earliest of equals."""
    alarms: Sequence[MetricLine]
    readings: list[Reading]
    status: str
    done: bool
    """Whether an end was recorded after the last step."""
    last_step: int
    seconds: float
    """Of all steps and validations."""
    drop_reasons: Counter[str] = field(default_factory=Counter[str])
    dropped: int = 0
    examples: Examples = field(default_factory=Examples)


def read_run(run: RunFolder, *, points: int, examples: int) -> RunData:
    """Read a run folder; steps in at most `points` points, at most `examples` pairs of rollouts.

    Raises:
        RunError: a file of the folder is missing or damaged.
    """
    config = run.config()
    try:
        lines = run.metrics(strict=True)
        environment = _environment(run)
    except ValueError as error:
        raise RunError(
            f"{run.path} has a damaged line or file ({error}): repair or remove it, then try again"
        ) from error
    steps = [line for line in lines if line.get("event") == "step"]
    validations = [line for line in lines if line.get("event") == "validation" and line.get("reward") is not None]
    book, replayed = replay(lines, _settings(config))
    recorded = [line for line in lines if line.get("event") == "alarm"]
    last_step = max((int(line["step"]) for line in lines), default=0)
    status, done = _status(lines, last_step)
    best = max(validations, key=lambda line: line.get("reward") or 0.0, default=None)
    shown = read_examples(run.rollouts_file, validations, best=best, limit=examples)
    reasons: Counter[str] = Counter(shown.failed)
    for line in steps:
        reasons.update(line.get("drop_reasons") or {})
    return RunData(
        name=run.name,
        config={path: value for path, value in flattened(config).items() if value != {}},
        environment=environment,
        steps=thin(steps, points),
        validations=validations,
        best=best,
        alarms=recorded or [alarm.line() for alarm in replayed],
        readings=book.readings(),
        status=status,
        done=done,
        last_step=last_step,
        seconds=math.fsum(float(line.get("seconds") or 0.0) for line in lines),
        drop_reasons=reasons,
        dropped=sum(int(line.get("dropped") or 0) for line in lines),
        examples=shown,
    )


def thin(lines: Sequence[MetricLine], points: int) -> list[DrawnLine]:
    """The same steps in at most `points` lines: neighbours are merged, and none is left out."""
    size = max(1, math.ceil(len(lines) / max(1, points)))
    return [merge(lines[start : start + size]) for start in range(0, len(lines), size)]


def merge(lines: Sequence[MetricLine]) -> DrawnLine:
    """Several steps as one line at the last of them: counts added, other numbers averaged.

    `reward_error` is an upper bound of the standard error of the mean reward: a group counts as one rollout, because
    its members answer the same question.
    """
    merged: dict[str, object] = {}
    for key in dict.fromkeys(key for line in lines for key in line):
        measured = [line for line in lines if line.get("trained_tokens", 1)] if key in OF_THE_UPDATE else lines
        values = [value for line in measured if (value := cast("object", line.get(key))) is not None]
        numbers = [value for value in values if isinstance(value, int | float)]
        counts = [cast("Mapping[str, int]", value) for value in values if isinstance(value, Mapping)]
        if counts and len(counts) == len(values):
            total: Counter[str] = Counter()
            for each in counts:
                total.update(each)
            merged[key] = dict(total)
        elif numbers and len(numbers) == len(values):
            merged[key] = _together(key, numbers)
        else:
            merged[key] = values[-1] if values else None
    errors = [_reward_error(line) for line in lines]
    known = [error for error in errors if error is not None]
    merged["reward_error"] = math.sqrt(math.fsum(error**2 for error in known)) / len(known) if known else None
    merged["first_step"] = lines[0]["step"]
    return cast("DrawnLine", merged)


def _together(key: str, values: Sequence[float]) -> float | None:
    if not values:
        return None
    if key in COUNTS:
        return sum(values)
    if key in LARGEST:
        return max(values)
    return values[0] if len(values) == 1 else math.fsum(values) / len(values)


def _reward_error(line: MetricLine) -> float | None:
    deviation, groups = line.get("reward_std"), line.get("groups")
    return deviation / math.sqrt(groups) if deviation is not None and groups else None


def _environment(run: RunFolder) -> dict[str, object]:
    """The environment file's values; empty when the run has no such file."""
    if not run.environment_file.exists():
        return {}
    return cast("dict[str, object]", json.loads(run.environment_file.read_text(encoding="utf-8")))


def _settings(config: Mapping[str, object]) -> MonitorSettings:
    """The limits of the run's monitors; the present limits for a run from before there were any."""
    try:
        return from_plain(MonitorSettings, cast("Mapping[str, object]", config.get("monitors") or {}))
    except (ConfigError, TypeError):  # another version's settings
        return MonitorSettings()


def _status(lines: Iterable[MetricLine], last_step: int) -> tuple[str, bool]:
    ends = [line for line in lines if line.get("event") == "end"]
    if ends and int(ends[-1]["step"]) >= last_step:
        return str(ends[-1].get("reason", "ended")), True
    return f"no end is recorded: the run is running, or was killed after step {last_step}", False
