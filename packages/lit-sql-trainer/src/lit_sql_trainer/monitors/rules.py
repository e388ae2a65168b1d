"""The monitors: each turns the history and its limit into one reading."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from lit_sql_trainer.monitors.history import History
from lit_sql_trainer.profile.monitors import MonitorSettings


class Monitor(StrEnum):
    """The monitors, in the order in which a report lists them."""

    VALIDATION_FALLS = "validation_falls"
    """The training reward rises while the validation score falls."""
    SUITE_GAP = "suite_gap"
    """Answers are right on the agent's own database and wrong on its variants."""
    SELECT_STAR = "select_star"
    """Answers are dumps of a table."""
    CONSTANT = "constant"
    """Answers read no table: the result is guessed."""
    EMPTY_MATCH = "empty_match"
    """Answers match because both results are empty."""
    TURNS_COLLAPSE = "turns_collapse"
    """Rewrites disappear although the answers did not improve, or too many rollouts run no query."""
    TURNS_EXPLODE = "turns_explode"
    """Rollouts take many more turns than at the start."""
    LENGTH_DRIFT = "length_drift"
    """Replies are much longer or shorter than at the start."""
    ENTROPY_COLLAPSE = "entropy_collapse"
    """The policy no longer tries other replies."""
    KL = "kl"
    """The policy is far from the model it started as."""
    NO_SQL = "no_sql"
    """Replies hold no SQL."""
    ZERO_VARIANCE = "zero_variance"
    """Every rollout of a group gets the same reward, so the group adds no gradient."""
    SLOW_QUERIES = "slow_queries"
    """The agent's own queries are slow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One monitor's view at one moment."""

    monitor: Monitor
    value: float | None
    """The value that is compared with the limit; None while it is not measured or there are too few steps."""
    limit: float
    tripped: bool
    text: str
    """One sentence, with the numbers."""


Rule = Callable[[History, MonitorSettings], Reading]


def _quiet(monitor: Monitor, limit: float, history: History) -> Reading:
    text = "not measured" if len(history.rewards) >= 2 * history.window else "too few steps to tell"
    return Reading(monitor=monitor, value=None, limit=limit, tripped=False, text=text)


def _above(monitor: Monitor, measure: str, limit_name: str, words: str) -> Rule:
    """Trips when the recent mean is above the limit and not below where it began."""

    def rule(history: History, settings: MonitorSettings) -> Reading:
        limit = float(getattr(settings, limit_name))
        means = history.means(measure)
        if means is None:
            return _quiet(monitor, limit, history)
        start, now = means
        shown = {"now": now, "start": start, "limit": limit}
        tripped = now > limit and now >= start
        return Reading(monitor=monitor, value=now, limit=limit, tripped=tripped, text=words.format(**shown))

    return rule


def _validation_falls(history: History, settings: MonitorSettings) -> Reading:
    limit = settings.validation_drop
    if len(history.validations) < 2:
        return _quiet(Monitor.VALIDATION_FALLS, limit, history)
    step, reward, error = history.validations[-1]
    best_step, best, _ = max(history.validations, key=lambda validation: validation[1])
    then, now = history.reward_until(best_step), history.reward_until(step)
    if then is None or now is None or not error:
        return _quiet(Monitor.VALIDATION_FALLS, limit, history)
    drop = (best - reward) / error
    return Reading(
        monitor=Monitor.VALIDATION_FALLS,
        value=drop,
        limit=limit,
        tripped=drop > limit and now > then,
        text=(
            f"validation is {reward:.3f}, {drop:.1f} standard errors below its best {best:.3f} of step {best_step} "
            f"(limit {limit:g}), while the training reward went from {then:.3f} to {now:.3f}"
        ),
    )


def _turns_collapse(history: History, settings: MonitorSettings) -> Reading:
    limit = settings.turns_kept
    turns, reward = history.means("turns"), history.means("reward")
    if turns is None or reward is None:
        return _quiet(Monitor.TURNS_COLLAPSE, limit, history)
    start, now = (max(mean - 1.0, 0.0) for mean in turns)
    kept = now / start if start else 1.0
    unrun = turns[1] < min(turns[0], 1.0) - limit  # too many rollouts run no query
    vanished = start >= 0.1 and kept < limit and reward[1] <= reward[0]
    return Reading(
        monitor=Monitor.TURNS_COLLAPSE,
        value=kept,
        limit=limit,
        tripped=unrun or vanished,
        text=(
            f"{turns[1]:.2f} turns a rollout, {turns[0]:.2f} at the start: {kept:.0%} of the rewrites are left "
            f"(limit {limit:.0%}); training reward {reward[0]:.3f} then, {reward[1]:.3f} now"
        ),
    )


def _turns_explode(history: History, settings: MonitorSettings) -> Reading:
    limit = settings.turns_rise
    means = history.means("turns")
    if means is None:
        return _quiet(Monitor.TURNS_EXPLODE, limit, history)
    start, now = means
    return Reading(
        monitor=Monitor.TURNS_EXPLODE,
        value=now - start,
        limit=limit,
        tripped=now - start > limit,
        text=f"{now:.2f} turns a rollout, {now - start:+.2f} since the start (limit +{limit:g})",
    )


def _ratio(monitor: Monitor, measure: str, limit_name: str, words: str, *, both_ways: bool) -> Rule:
    """Trips on a recent mean that is too small a part of the start's, or, both ways, too many times of it."""

    def rule(history: History, settings: MonitorSettings) -> Reading:
        limit = float(getattr(settings, limit_name))
        means = history.means(measure)
        if means is None or means[0] <= 0.0:
            return _quiet(monitor, limit, history)
        start, now = means
        ratio = now / start
        tripped = (ratio > limit or ratio < 1 / limit) if both_ways else ratio < limit
        text = words.format(now=now, start=start, ratio=ratio, limit=limit)
        return Reading(monitor=monitor, value=ratio, limit=limit, tripped=tripped, text=text)

    return rule


RULES: tuple[Rule, ...] = (
    _validation_falls,
    _above(
        Monitor.SUITE_GAP,
        "main_only",
        "suite_gap_share",
        "{now:.0%} of the answers are right on their own database and wrong on a variant of it, {start:.0%} at the "
        "start (limit {limit:.0%})",
    ),
    _above(
        Monitor.SELECT_STAR,
        "select_star",
        "select_star_share",
        "{now:.0%} of the answers are SELECT *, {start:.0%} at the start (limit {limit:.0%})",
    ),
    _above(
        Monitor.CONSTANT,
        "constant",
        "constant_share",
        "{now:.0%} of the answers read no table, {start:.0%} at the start (limit {limit:.0%})",
    ),
    _above(
        Monitor.EMPTY_MATCH,
        "empty_match",
        "empty_match_share",
        "{now:.0%} of the matches are on questions whose right result is empty, {start:.0%} at the start "
        "(limit {limit:.0%})",
    ),
    _turns_collapse,
    _turns_explode,
    _ratio(
        Monitor.LENGTH_DRIFT,
        "length",
        "length_factor",
        "replies have {now:.0f} tokens, {ratio:.2f} times the {start:.0f} of the start (limit {limit:g} times, "
        "either way)",
        both_ways=True,
    ),
    _ratio(
        Monitor.ENTROPY_COLLAPSE,
        "entropy",
        "entropy_kept",
        "entropy is {now:.3f} nats, {ratio:.0%} of the {start:.3f} of the start (limit {limit:.0%})",
        both_ways=False,
    ),
    _above(
        Monitor.KL,
        "kl",
        "kl_nats",
        "the policy is {now:.3f} nats a token from the start (limit {limit:g})",
    ),
    _above(
        Monitor.NO_SQL,
        "no_sql",
        "no_sql_share",
        "{now:.0%} of the rollouts end without SQL, {start:.0%} at the start (limit {limit:.0%})",
    ),
    _above(
        Monitor.ZERO_VARIANCE,
        "zero_variance",
        "flat_group_share",
        "{now:.0%} of the groups have no variance, {start:.0%} at the start (limit {limit:.0%})",
    ),
    _above(
        Monitor.SLOW_QUERIES,
        "query_seconds",
        "slow_query_s",
        "one query in twenty takes more than {now:.2g} s (limit {limit:g} s)",
    ),
)
"""In the order of `Monitor`."""
