"""The limits of the monitors, as settings of a run."""

from __future__ import annotations

from lit_sql_trainer.profile.checked import AboveOne, Count, Positive, PositiveNumber, settings


@settings("monitors")
class MonitorSettings:
    """Limits of the monitors, and the effect of an alarm."""

    stop_on_alarm: bool = False
    """End the run, with its checkpoint, at the first alarm."""
    patience: Count = 0
    """End the run after this many validations without a gain of more than one standard error; 0 never ends it."""
    window: Positive = 5
    """Compare means over this many steps; no monitor raises an alarm before twice as many."""
    validation_drop: PositiveNumber = 2.0
    """Most standard errors that validation may be below its best while the training reward rises."""
    suite_gap_share: PositiveNumber = 0.15
    """Largest share of the rollouts judged on a suite that are right on the first database only."""
    select_star_share: PositiveNumber = 0.3
    """Largest share of the answers that are `SELECT *`."""
    constant_share: PositiveNumber = 0.05
    """Largest share of the answers that read no table."""
    empty_match_share: PositiveNumber = 0.2
    """Largest share of the matches on questions whose right result is empty."""
    turns_kept: PositiveNumber = 0.2
    """Smallest share of the start's rewrites that must remain, unless the reward rose."""
    turns_rise: PositiveNumber = 0.75
    """Largest rise of the mean number of turns above the start's."""
    length_factor: AboveOne = 2.0
    """Largest factor by which the mean length of replies may differ from the start's, up or down."""
    entropy_kept: PositiveNumber = 0.1
    """Smallest share of the start's entropy that must remain."""
    kl_nats: PositiveNumber = 0.5
    """Largest divergence from the start, in nats a token."""
    no_sql_share: PositiveNumber = 0.2
    """Largest share of the rollouts without SQL."""
    flat_group_share: PositiveNumber = 0.95
    """Largest share of the groups in which all rewards are the same."""
    slow_query_s: PositiveNumber = 1.0
    """Wall-clock seconds within which 95 % of the agent's queries must end."""
