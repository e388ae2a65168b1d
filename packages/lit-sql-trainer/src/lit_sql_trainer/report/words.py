"""Make the texts and tables of a report beside its charts, as plain values.

The templates make HTML of them and escape every one: text of a model, a question or a user stays text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from lit_sql_trainer.report.curves import Z95
from lit_sql_trainer.report.data import RunData
from lit_sql_trainer.report.examples import Change, Example
from lit_sql_trainer.rollouts.metrics import MetricLine
from lit_sql_trainer.runs.console import duration
from lit_sql_trainer.runs.folder import PLANNED_STEPS, Record

MAX_TEXT = 300
"""Characters of a text that are shown; a template gives a query more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One turn of a rollout: the query, its result, and the check's feedback."""

    node: str
    sql: str | None
    ran: str
    """The result of the query; meaningless without a query."""
    error: str
    feedback: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Examples that changed in one way, of so many."""

    change: Change
    examples: Sequence[Example]
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Settings of every run side by side."""

    title: str
    rows: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])


def facts(run: RunData) -> dict[str, str]:
    """What a run's card lists, in order; what is unknown is left out."""
    known = {
        "Profile": run.config.get("name"),
        "Model": run.config.get("model") or "the tiny model of the package",
        "Data": run.config.get("data") or "the embedded benchmark",
        "Started": _moment(run.environment.get("started")),
        "Steps": f"{run.last_step} of {_planned(run)}",
        "Time": f"{duration(run.seconds)} in steps and validations",
        "Dropped": f"{run.dropped} rollouts",
        "Alarms": f"{len(run.alarms)}",
        "Ended": run.status,
    }
    return {name: str(value) for name, value in known.items() if value is not None}


def interval(line: MetricLine) -> str:
    """The 95 % interval of a validation's reward."""
    error, reward = line.get("standard_error"), line.get("reward")
    if error is None or reward is None:
        return "unknown"
    low, high = max(0.0, reward - Z95 * error), min(1.0, reward + Z95 * error)
    return f"{low:.3f}–{high:.3f}"


def groups(run: RunData) -> list[Group]:
    """The examples of a run by how they changed."""
    examples = run.examples
    by_change = {change: [each for each in examples.shown if each.change is change] for change in Change}
    return [
        Group(change=change, examples=chosen, total=examples.counts[change])
        for change, chosen in by_change.items()
        if chosen
    ]


def turns(record: Record) -> list[Turn]:
    """The turns of a rollout."""
    written = cast("Sequence[str | None]", record.get("sql") or [])
    path = cast("Sequence[Record]", record.get("path") or [])
    return [_turn(at, sql, path[at] if at < len(path) else {}) for at, sql in enumerate(written)]


def _turn(at: int, sql: str | None, turn: Record) -> Turn:
    return Turn(
        node=str(turn.get("node") or ("rewrite_query" if at else "write_query")).removesuffix("_query"),
        sql=sql,
        ran=_ran(turn),
        error=str(turn.get("error") or ""),
        feedback=str(turn.get("feedback") or ""),
    )


def _ran(turn: Record) -> str:
    status = str(turn.get("status") or "")
    if status == "rows":
        return f"{turn.get('rows')} row{'' if turn.get('rows') == 1 else 's'}"
    return {"empty": "no rows", "": "not recorded"}.get(status, status)


def settings(runs: Sequence[RunData]) -> list[Table]:
    """Configuration and environment; of several runs, what differs comes first."""
    config = _side_by_side([run.config for run in runs])
    surroundings = _side_by_side([_flat_environment(run.environment) for run in runs])
    tables = [Table(title="Configuration", rows=config), Table(title="Environment", rows=surroundings)]
    if len(runs) > 1:
        differing = {key: values for key, values in {**config, **surroundings}.items() if len(set(values)) > 1}
        tables.insert(0, Table(title="What differs", rows=differing))
    return tables


def cut(value: object, limit: int = MAX_TEXT) -> str:
    """The value as text, cut when it is too long."""
    text = str(value)
    return text if len(text) <= limit else f"{text[:limit]} … ({len(text) - limit} more characters)"


def spaced(name: object) -> str:
    """A name from a closed set, as a person writes it."""
    return cut(str(name).replace("_", " "))


def _moment(started: object) -> str | None:
    """An ISO time as a person reads it."""
    return None if started is None else str(started).replace("T", " ").replace("+00:00", " UTC")


def _side_by_side(many: Sequence[Mapping[str, object]]) -> dict[str, Sequence[str]]:
    keys = dict.fromkeys(key for each in many for key in each)
    return {key: [_plain(each[key]) if key in each else "" for each in many] for key in keys}


def _flat_environment(environment: Mapping[str, object]) -> dict[str, object]:
    versions = cast("Mapping[str, object]", environment.get("versions") or {})
    rest = {key: value for key, value in environment.items() if key != "versions"}
    return {**rest, **{f"{name} version": version for name, version in versions.items()}}


def _planned(run: RunData) -> str:
    planned = run.config.get("grpo.steps")
    if planned is None:  # VERL: known when the run begins, from its settings and the number of tasks
        planned = run.environment.get(PLANNED_STEPS, run.config.get("verl.trainer.total_training_steps"))
    return "?" if planned is None else str(planned)


def _plain(value: object) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)
