"""Choose the curves of a report from the metric lines of one run or several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from lit_sql_trainer.report.charts import Chart, Layer, line_chart, stack_chart
from lit_sql_trainer.report.data import RunData
from lit_sql_trainer.report.palette import OUTCOMES
from lit_sql_trainer.report.svg import Point, Series
from lit_sql_trainer.rollouts.metrics import Measure, MetricLine, measure, share, when_trained

Z95 = 1.959964
VALIDATED = "greedy, 95 % interval"
SAMPLED = "sampled; the band holds the 95 % interval (a group counts once)"


def letter(number: int) -> str:
    """The name of a run in a report of several."""
    return "ABCDEFGH"[number]


def charts(runs: Sequence[RunData]) -> list[Chart]:
    """Every chart that has something to show, in reading order."""
    every = (*_rewards(runs), *_mixes(runs), *_policy(runs), *_signs(runs), *_pace(runs))
    return [chart for chart in every if chart is not None]


def always_zero(runs: Sequence[RunData]) -> list[str]:
    """Titles of charts that are left out because every value was 0 in every run."""
    return [title for title, series, _ in _sign_series(runs) if not _shows(series) and any(s.points for s in series)]


def _rewards(runs: Sequence[RunData]) -> list[Chart | None]:
    validation = [
        Series(label=_name(runs, n, "validation"), css=f"run{n}", points=_validations(run), marks=True)
        for n, run in enumerate(runs)
    ]
    training = [
        Series(label=_name(runs, n, "training"), css=f"run{n + (len(runs) == 1)}", points=_training(run))
        for n, run in enumerate(runs)
    ]
    if len(runs) == 1:
        note = f"validation: {VALIDATED}; training: {SAMPLED}"
        return [line_chart("Reward", [*training, *validation], note=note, ceiling=1.0)]
    return [
        line_chart("Validation reward", validation, note=VALIDATED, ceiling=1.0),
        line_chart("Training reward", training, note="sampled; intervals are in the numbers", ceiling=1.0, bands=False),
    ]


def _mixes(runs: Sequence[RunData]) -> list[Chart | None]:
    """Stacks cannot share a chart, so each run has its own; charts of one kind are side by side."""
    named = [("" if len(runs) == 1 else f", run {letter(n)}", _stack_css(runs, n), run) for n, run in enumerate(runs)]
    return [
        *(_outcomes(f"Outcomes in training{of}", run.steps, css) for of, css, run in named),
        *(_outcomes(f"Outcomes in validation{of}", run.validations, css) for of, css, run in named),
        *(_turns(f"Turns of a training rollout{of}", run.steps, css) for of, css, run in named),
    ]


def _stack_css(runs: Sequence[RunData], n: int) -> str:
    return "" if len(runs) == 1 else f"run{n}"


def _policy(runs: Sequence[RunData]) -> list[Chart | None]:
    def chart(title: str, value: Measure, *, note: str, percent: bool = False) -> Chart | None:
        return line_chart(title, _per_run(runs, value), note=note, percent=percent)

    lengths = [] if len(runs) > 1 else _per_run(runs, measure("response_tokens_max"), label="longest", shift=1)
    return [
        line_chart("Tokens of a trained reply", [*_per_run(runs, measure("response_tokens"), label="mean"), *lengths]),
        chart("Entropy of the policy", when_trained("entropy"), note="nats, at the sampled tokens"),
        chart("Groups without variance", measure("zero_variance_share"), percent=True, note="they add no gradient"),
        chart(
            "Divergence from the start",
            lambda line: when_trained("kl_start")(line) or None,
            note="nats a token; measured when grpo.kl_coefficient is not 0",
        ),
        chart("Gradient norm", when_trained("grad_norm"), note="before clipping"),
    ]


def _signs(runs: Sequence[RunData]) -> list[Chart | None]:
    return [
        line_chart(title, series, percent=True, note=note)
        for title, series, note in _sign_series(runs)
        if _shows(series)
    ]


def _sign_series(runs: Sequence[RunData]) -> list[tuple[str, list[Series], str]]:
    """Shares that should be 0: title, lines, note."""
    return [
        (title, _per_run(runs, value), note)
        for title, value, note in (
            ("Dropped rollouts", _dropped_share, "lost to failures that the policy did not cause"),
            ("Answers that are SELECT *", share("select_star"), ""),
            ("Answers that read no table", share("constant"), ""),
            ("Matches on an empty result", share("empty_matches", "match"), "of all matches"),
            ("Right on one database only", share("main_only", "suites"), "wrong on a variant of it"),
        )
    ]


def _shows(series: Sequence[Series]) -> bool:
    return any(point.y for each in series for point in each.points)


def _pace(runs: Sequence[RunData]) -> list[Chart | None]:
    figures: list[Chart | None] = []
    for n, run in enumerate(runs):
        of = "" if len(runs) == 1 else f", run {letter(n)}"
        timed = [line for line in run.steps if line.get("seconds")]
        parts = {
            "rollout": [_number(line, "seconds_rollout") - _number(line, "seconds_adapt") for line in timed],
            "adapt": [_number(line, "seconds_adapt") for line in timed],
            "update": [_number(line, "seconds_update") for line in timed],
        }
        rest = [
            max(0.0, _number(line, "seconds") - sum(part[at] for part in parts.values()))
            for at, line in enumerate(timed)
        ]
        layers = [Layer(label=label, css=f"layer{k}", values=values) for k, (label, values) in enumerate(parts.items())]
        if sum(rest) > 0.01 * sum(_number(line, "seconds") for line in timed):
            layers.append(Layer(label="rest", css="layer4", values=rest))
        note = "rollouts, reading their traces, the update"
        xs, css = [line["step"] for line in timed], _stack_css(runs, n)
        figures.append(stack_chart(f"Seconds of a step{of}", xs, layers, note=note, css=css))
    figures += [
        line_chart("Tokens sampled in a second", _per_run(runs, measure("tokens_per_s"))),
        line_chart(
            "Time of the agent's queries",
            _per_run(runs, _milliseconds),
            note="milliseconds within which 95 % of a step's queries end",
        ),
    ]
    return figures


def _name(runs: Sequence[RunData], n: int, label: str) -> str:
    return label if len(runs) == 1 else letter(n)


def _per_run(runs: Sequence[RunData], value: Measure, *, label: str = "", shift: int = 0) -> list[Series]:
    series: list[Series] = []
    for n, run in enumerate(runs):
        known = [(line["step"], value(line)) for line in run.steps]
        points = [Point(float(step), y) for step, y in known if y is not None]
        series.append(Series(label=_name(runs, n, label), css=f"run{n + shift}", points=points))
    return series


def _counts(line: MetricLine, key: str) -> Mapping[str, int]:
    return cast("Mapping[str, int]", line.get(key) or {})


def _validations(run: RunData) -> list[Point]:
    return [_with_interval(line, line.get("standard_error")) for line in run.validations]


def _training(run: RunData) -> list[Point]:
    return [_with_interval(line, line.get("reward_error")) for line in run.steps if line.get("reward") is not None]


def _with_interval(line: MetricLine, error: float | None) -> Point:
    reward = _number(line, "reward")
    if error is None:
        return Point(float(line["step"]), reward)
    return Point(float(line["step"]), reward, max(0.0, reward - Z95 * error), min(1.0, reward + Z95 * error))


def _outcomes(title: str, lines: Sequence[MetricLine], css: str) -> Chart | None:
    counted = [(line["step"], counts) for line in lines if sum((counts := _counts(line, "outcomes")).values())]
    layers = [
        Layer(
            label=name.replace("_", " "),
            css=f"outcome-{name}",
            values=[counts.get(name, 0) / sum(counts.values()) for _, counts in counted],
        )
        for name in OUTCOMES
    ]
    return stack_chart(title, [step for step, _ in counted], layers, percent=True, css=css)


def _turns(title: str, lines: Sequence[MetricLine], css: str) -> Chart | None:
    counted = [(line["step"], counts) for line in lines if sum((counts := _counts(line, "turn_counts")).values())]
    layers: list[Layer] = []
    for k, (label, low, high) in enumerate((("1", 1, 1), ("2", 2, 2), ("3", 3, 3), ("4 and more", 4, 10**9))):
        values = [
            sum(count for turns, count in counts.items() if low <= int(turns) <= high) / sum(counts.values())
            for _, counts in counted
        ]
        layers.append(Layer(label=f"{label} turn{'' if label == '1' else 's'}", css=f"layer{k}", values=values))
    none = [counts.get("0", 0) / sum(counts.values()) for _, counts in counted]
    layers.append(Layer(label="none run", css="layer4", values=none))
    note = "queries that were run"
    return stack_chart(title, [step for step, _ in counted], layers, percent=True, css=css, note=note)


def _dropped_share(line: MetricLine) -> float | None:
    dropped, kept = line.get("dropped"), line.get("rollouts")
    return dropped / (dropped + kept) if dropped is not None and kept is not None and dropped + kept else None


def _milliseconds(line: MetricLine) -> float | None:
    seconds = measure("query_seconds_p95")(line)
    return None if seconds is None else 1000 * seconds


def _number(line: MetricLine, key: str) -> float:
    return float(line.get(key) or 0.0)
