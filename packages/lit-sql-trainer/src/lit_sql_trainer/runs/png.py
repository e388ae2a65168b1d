"""A run's curves as one PNG, drawn from `metrics.jsonl`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lit_sql_trainer.errors import RunError
from lit_sql_trainer.runs.folder import RunFolder
from lit_sql_trainer.runs.watch import events
from sql_reward import Outcome

Metrics = Mapping[str, Any]

OUTCOMES = {
    Outcome.MATCH: "tab:green",
    Outcome.MISMATCH: "tab:blue",
    Outcome.SQL_ERROR: "tab:orange",
    Outcome.NO_SQL: "tab:red",
    Outcome.FORBIDDEN: "tab:purple",
    Outcome.TIMEOUT: "tab:brown",
    Outcome.TOO_LARGE: "tab:pink",
}
"""Best first, which is lowest in the stack."""


def draw_curves(run: RunFolder) -> Path:
    """Draw reward, validation, outcomes, step times and entropy over the steps into `curves.png`; its path.

    Raises:
        RunError: the run has no metrics yet.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    metrics = run.metrics()
    if not metrics:
        raise RunError(f"run {run.name!r} has no metrics yet: draw its curves after the first validation")
    steps, validations = events(metrics, "step"), events(metrics, "validation")
    figure: Any = Figure(figsize=(11, 7), layout="constrained")
    FigureCanvasAgg(figure)
    (reward, outcomes), (times, policy) = figure.subplots(2, 2)
    _reward(reward, steps, validations)
    _outcomes(outcomes, steps)
    _times(times, steps)
    _policy(policy, steps)
    figure.suptitle(run.name)
    for axes in (reward, outcomes, times, policy):
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8)
    path = run.path / "curves.png"
    part = path.with_name(".curves.png")
    figure.savefig(part, format="png", dpi=120)
    part.replace(path)
    return path


def _reward(axes: Any, steps: Sequence[Metrics], validations: Sequence[Metrics]) -> None:
    axes.set_title("reward")
    axes.set_ylim(0, 1)
    drawn = [line for line in steps if line["reward"] is not None]
    axes.plot(_column(drawn, "step"), _column(drawn, "reward"), alpha=0.6, label="training, sampled")
    scored = [line for line in validations if line["reward"] is not None]
    spread = [1.96 * (line["standard_error"] or 0.0) for line in scored]
    axes.errorbar(
        _column(scored, "step"),
        _column(scored, "reward"),
        spread,
        marker="o",
        capsize=3,
        label="validation, greedy (95 %)",
    )


def _outcomes(axes: Any, steps: Sequence[Metrics]) -> None:
    axes.set_title("outcomes of training rollouts")
    axes.set_ylim(0, 1)
    counted = [line for line in steps if line.get("outcomes")]
    seen = {name for line in counted for name in line["outcomes"]}
    names = [name for name in OUTCOMES if name in seen]
    shares = [[line["outcomes"].get(name, 0) / sum(line["outcomes"].values()) for line in counted] for name in names]
    if counted:
        colours = [OUTCOMES[name] for name in names]
        axes.stackplot(_column(counted, "step"), shares, labels=names, colors=colours, alpha=0.8)


def _times(axes: Any, steps: Sequence[Metrics]) -> None:
    axes.set_title("seconds of a step")
    parts = ("seconds_rollout", "seconds_update")
    if steps:
        axes.stackplot(
            _column(steps, "step"), [_column(steps, part) for part in parts], labels=["rollout", "update"], alpha=0.8
        )


def _policy(axes: Any, steps: Sequence[Metrics]) -> None:
    axes.set_title("policy")
    for key, label in (
        ("entropy", "entropy (nats)"),
        ("zero_variance_share", "groups without variance"),
        ("turns", "turns"),
    ):
        measured = [line for line in steps if key != "entropy" or line.get("trained_tokens")]
        drawn = [line for line in measured if line.get(key) is not None]
        axes.plot(_column(drawn, "step"), _column(drawn, key), label=label)


def _column(lines: Sequence[Metrics], key: str) -> list[Any]:
    return [line[key] for line in lines]
