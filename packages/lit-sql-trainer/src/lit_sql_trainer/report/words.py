"""The parts of a report that are words and tables: summary, alarms, examples, drops, settings. Input is untrusted."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from lit_sql_trainer.report.curves import Z95, letter
from lit_sql_trainer.report.data import RunData
from lit_sql_trainer.report.examples import Change, Example, Examples
from lit_sql_trainer.runs.console import duration
from sql_reward import PairedComparison

Record = Mapping[str, Any]

MAX_SQL = 1500
"""Characters of a query that are shown."""
MAX_TEXT = 300
MAX_REASONS = 20


def cards(runs: Sequence[RunData]) -> str:
    """A card for each run: where it began, where it is, how it ended."""
    return "".join(_card(run, n, several=len(runs) > 1) for n, run in enumerate(runs))


def _card(run: RunData, n: int, *, several: bool) -> str:
    first, best = (run.validations[0] if run.validations else None), run.best
    head = _swatch(n) + f"{letter(n)} · " if several else ""
    facts = {
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
    listed = "".join(
        f"<div{' class=wide' if name == 'Ended' else ''}><dt>{name}</dt><dd>{_text(value)}</dd></div>"
        for name, value in facts.items()
        if value is not None
    )
    score = "<p class='score'>no validation yet</p>"
    if first is not None and best is not None:
        score = (
            f"<p class='score'><span>{first['reward']:.3f}</span> → <strong>{best['reward']:.3f}</strong>"
            f"<small>validation at step {first['step']} and at its best, step {best['step']}: 95 % intervals "
            f"{_interval(first)} and {_interval(best)}, {best.get('rollouts', '?')} tasks, greedy</small></p>"
        )
    return f"<section class='card run{n}'><h2>{head}{_text(run.name)}</h2>{score}<dl>{listed}</dl></section>"


def _moment(started: Any) -> str | None:
    """An ISO time as a person reads it."""
    return None if started is None else str(started).replace("T", " ").replace("+00:00", " UTC")


def legend(runs: Sequence[RunData]) -> str:
    """A box to tick for each run, that shows or hides its lines; nothing for a single run."""
    if len(runs) < 2:
        return ""
    boxes = "".join(
        f"<label class='run{n}'><input type='checkbox' checked data-run='{n}'>{_swatch(n)}{letter(n)} "
        f"<span>{_text(run.name)}</span></label>"
        for n, run in enumerate(runs)
    )
    return f"<fieldset class='legend'><legend>Runs shown</legend>{boxes}</fieldset>"


def alarms(runs: Sequence[RunData]) -> str:
    """What the monitors raised, then what each of them sees now."""
    parts: list[str] = []
    for n, run in enumerate(runs):
        of = f"<h3>Run {letter(n)}</h3>" if len(runs) > 1 else ""
        raised = "".join(
            f"<li><strong>step {_text(alarm.get('step'))}, {_spaced(alarm.get('monitor'))}</strong>: "
            f"{_text(alarm.get('text'))}</li>"
            for alarm in run.alarms[-50:]
        )
        told = f"<ul class='alarms'>{raised}</ul>" if raised else "<p>No alarm was raised.</p>"
        rows = "".join(
            f"<tr><th scope='row'>{_spaced(reading.monitor)}</th>"
            f"<td>{_state(reading.tripped, reading.value)}</td><td>{_text(reading.text)}</td></tr>"
            for reading in run.readings
        )
        parts.append(
            f"{of}{told}<details><summary>What each monitor sees now</summary>"
            + _scroll("Monitors", f"<table><tbody>{rows}</tbody></table>")
            + "</details>"
        )
    return "".join(parts)


def _state(tripped: bool, value: float | None) -> str:
    if value is None:
        return "<span class='quiet'>–</span>"
    return "<span class='bad'>alarm</span>" if tripped else "<span class='good'>quiet</span>"


def rollouts(runs: Sequence[RunData]) -> str:
    """The same validation tasks before and after, for each run."""
    parts: list[str] = []
    for n, run in enumerate(runs):
        examples = run.examples
        if len(runs) > 1:
            parts.append(f"<h3>Run {letter(n)}</h3>")
        if examples.comparison is None:
            parts.append("<p>Nothing to compare: this needs two validations of the same tasks.</p>")
            continue
        parts.append(_compared(examples, examples.comparison))
        for change in Change:
            chosen = [example for example in examples.shown if example.change is change]
            if chosen:
                shown = f"{len(chosen)} of {examples.counts[change]}"
                opened = " open" if change is Change.WON else ""
                parts.append(
                    f"<details class='group'{opened}><summary>{change.capitalize()} ({shown})</summary>"
                    + "".join(_example(example, examples.before_step, examples.after_step) for example in chosen)
                    + "</details>"
                )
    return "".join(parts)


def _compared(examples: Examples, compared: PairedComparison) -> str:
    counts = examples.counts
    return (
        f"<p>{compared.total} tasks after step {examples.before_step} and after step {examples.after_step}: "
        f"{counts[Change.WON]} won, {counts[Change.LOST]} lost, {counts[Change.STILL_RIGHT]} right both times, "
        f"{counts[Change.STILL_WRONG]} wrong both times. Difference {compared.difference:+.3f}, 95 % interval "
        f"{compared.interval.low:+.3f} to {compared.interval.high:+.3f}, McNemar p = {compared.p_value:.2g}. The best "
        "of several validations looks better than it is: what a model is worth, the test split says.</p>"
    )


def _example(example: Example, before_step: int | None, after_step: int | None) -> str:
    question = example.after.get("question") or example.before.get("question") or example.after.get("task_id")
    return (
        f"<article class='example'><h4>{_text(question)}</h4>"
        f"<p class='quiet'>{_text(example.after.get('task_id'))} · database {_text(example.after.get('db_id'))}</p>"
        f"<div class='pair'>{_side(example.before, f'After step {before_step}')}"
        f"{_side(example.after, f'After step {after_step}')}</div></article>"
    )


def _side(record: Record, title: str) -> str:
    outcome = str(record.get("outcome"))
    css = "good" if outcome == "match" else "bad"
    detail = f": {_text(record['detail'])}" if record.get("detail") else ""
    return (
        f"<div class='side'><h5>{_text(title)}</h5><ol class='path'>{_path(record)}</ol>"
        f"<p><span class='{css}'>{_spaced(outcome)}</span>{detail}</p></div>"
    )


def _path(record: Record) -> str:
    """Every turn with its query: write → execute → check → rewrite …, and why it ended."""
    written: Sequence[str | None] = record.get("sql") or []
    turns: Sequence[Record] = record.get("path") or [{} for _ in written]
    items: list[str] = []
    for at, sql in enumerate(written):
        turn = turns[at] if at < len(turns) else {}
        node = str(turn.get("node") or ("rewrite_query" if at else "write_query")).removesuffix("_query")
        code = f"<pre tabindex='0'><code>{_text(sql, MAX_SQL)}</code></pre>" if sql is not None else ""
        items.append(f"<li><b>{_text(node)}</b>{code or ' no SQL in the reply'}</li>")
        if sql is not None:
            items.append(f"<li><b>execute</b> {_executed(turn)}</li>")
        if turn.get("feedback"):
            items.append(f"<li><b>check</b> {_text(turn['feedback'])}</li>")
    items.append(f"<li><b>end</b> {_spaced(record.get('stop') or '')}</li>")
    return "".join(items)


def _executed(turn: Record) -> str:
    status = str(turn.get("status") or "")
    if turn.get("error"):
        return f"<span class='bad'>{_text(turn['error'])}</span>"
    if status == "rows":
        return f"{turn.get('rows')} row{'' if turn.get('rows') == 1 else 's'}"
    return {"empty": "no rows", "": "not recorded"}.get(status, _text(status))


def drops(runs: Sequence[RunData]) -> str:
    """Why rollouts were dropped, and how often."""
    rows: list[str] = []
    for n, run in enumerate(runs):
        rows += [
            f"<tr><td>{letter(n) if len(runs) > 1 else ''}</td><td class='number'>{count}</td><td>{_text(reason)}</td>"
            "</tr>"
            for reason, count in run.drop_reasons.most_common(MAX_REASONS)
        ]
    if not rows:
        return "<p>No rollout was dropped.</p>"
    return _scroll("Dropped rollouts", f"<table><tbody>{''.join(rows)}</tbody></table>")


def settings(runs: Sequence[RunData]) -> str:
    """Configuration and environment; of several runs, what differs comes first."""
    config = _side_by_side([run.config for run in runs])
    surroundings = _side_by_side([_flat_environment(run.environment) for run in runs])
    parts: list[str] = []
    if len(runs) > 1:
        differing = {key: values for key, values in {**config, **surroundings}.items() if len(set(values)) > 1}
        parts.append("<h3>What differs</h3>" + _columns("What differs", differing, runs))
    parts += [
        f"<details><summary>{title}</summary>{_columns(title, values, runs)}</details>"
        for title, values in (("Configuration", config), ("Environment", surroundings))
    ]
    return "".join(parts)


def _side_by_side(many: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    keys = dict.fromkeys(key for each in many for key in each)
    return {key: [_plain(each[key]) if key in each else "" for each in many] for key in keys}


def _flat_environment(environment: Mapping[str, Any]) -> dict[str, Any]:
    versions: Mapping[str, Any] = environment.get("versions") or {}
    rest = {key: value for key, value in environment.items() if key != "versions"}
    return {**rest, **{f"{name} version": version for name, version in versions.items()}}


def _columns(title: str, values: Mapping[str, Sequence[str]], runs: Sequence[RunData]) -> str:
    head = "".join(f"<th scope='col'>{letter(n)}</th>" for n in range(len(runs))) if len(runs) > 1 else ""
    rows = "".join(
        f"<tr><th scope='row'>{_text(key)}</th>{''.join(f'<td>{_text(value)}</td>' for value in row)}</tr>"
        for key, row in values.items()
    )
    top = f"<thead><tr><td></td>{head}</tr></thead>" if head else ""
    return _scroll(title, f"<table class='settings'>{top}<tbody>{rows}</tbody></table>")


def _scroll(title: str, table: str) -> str:
    return f"<div class='scroll' tabindex='0' role='region' aria-label='{escape(title)}'>{table}</div>"


def _swatch(n: int) -> str:
    return f"<svg class='swatch run{n}' viewBox='0 0 28 10' aria-hidden='true'><path class='line' d='M1 5H27'/></svg>"


def _interval(line: Record) -> str:
    error = line.get("standard_error")
    if error is None:
        return "not known"
    low, high = max(0.0, line["reward"] - Z95 * error), min(1.0, line["reward"] + Z95 * error)
    return f"{low:.3f}–{high:.3f}"


def _planned(run: RunData) -> str:
    planned = next((value for key, value in run.config.items() if key in ("grpo.steps", "verl.steps")), None)
    return "?" if planned is None else str(planned)


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def _spaced(name: Any) -> str:
    """A name from a closed set, as a person writes it."""
    return _text(str(name).replace("_", " "))


def _text(value: Any, limit: int = MAX_TEXT) -> str:
    """Untrusted text, cut and escaped."""
    text = str(value)
    return escape(text if len(text) <= limit else f"{text[:limit]} … ({len(text) - limit} more characters)")
