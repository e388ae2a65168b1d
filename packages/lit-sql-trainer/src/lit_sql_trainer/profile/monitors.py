"""The limits of the monitors, as settings of a run."""

from __future__ import annotations

from lit_sql_trainer.profile.checked import AboveOne, Count, Positive, PositiveNumber, settings


@settings("monitors")
class MonitorSettings:
    """Limits of the monitors, and what follows from an alarm."""

    stop_on_alarm: bool = False
    """End the run, with its checkpoint, at the first alarm."""
    patience: Count = 0
    """End the run after this many validations without a gain of more than one standard error; 0 never ends it."""
    window: Positive = 5
    """Compare means over this many steps; no monitor speaks before twice as many."""
    validation_drop: PositiveNumber = 2.0
    """Standard errors by which validation may lie below its best while the training reward rises."""
    suite_gap_share: PositiveNumber = 0.15
    """Of rollouts judged on a suite: right on the first database only."""
    select_star_share: PositiveNumber = 0.3
    """Of answers: `SELECT *`."""
    constant_share: PositiveNumber = 0.05
    """Of answers: reading no table."""
    empty_match_share: PositiveNumber = 0.2
    """Of matches: where nothing was to be found."""
    turns_kept: PositiveNumber = 0.2
    """Share of the start's rewrites that must remain, unless the reward rose."""
    turns_rise: PositiveNumber = 0.75
    """Turns above the start's mean."""
    length_factor: AboveOne = 2.0
    """How many times the start's mean length a reply may have, or its inverse."""
    entropy_kept: PositiveNumber = 0.1
    """Share of the start's entropy that must remain."""
    kl_nats: PositiveNumber = 0.5
    """Divergence from the start, in nats a token."""
    no_sql_share: PositiveNumber = 0.2
    """Of replies: without SQL."""
    flat_group_share: PositiveNumber = 0.95
    """Of groups: without variance."""
    slow_query_s: PositiveNumber = 1.0
    """Wall seconds within which 95 % of the agent's queries end."""
