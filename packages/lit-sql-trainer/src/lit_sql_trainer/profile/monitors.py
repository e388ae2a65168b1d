"""Limits of the monitors, as settings of a run. Importing this costs nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lit_sql_trainer.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorSettings:
    """Limits of the monitors, and what follows from an alarm."""

    stop_on_alarm: bool = False
    """End the run, with its checkpoint, at the first alarm."""
    patience: int = 0
    """End the run after so many validations without a gain of more than one standard error; 0 never does."""
    window: int = 5
    """Steps whose mean is looked at; nothing is said before twice as many."""
    validation_drop: float = 2.0
    """Standard errors by which validation may lie below its best while the training reward rises."""
    suite_gap_share: float = 0.15
    """Of rollouts judged on a suite: right on the first database only."""
    select_star_share: float = 0.3
    constant_share: float = 0.05
    empty_match_share: float = 0.2
    """Of matches."""
    turns_kept: float = 0.2
    """Share of the start's rewrites that must remain, unless the reward rose."""
    turns_rise: float = 0.75
    """Turns above the start's mean."""
    length_factor: float = 2.0
    """Times the start's mean length, or its inverse."""
    entropy_kept: float = 0.1
    """Share of the start's entropy that must remain."""
    kl_nats: float = 0.5
    """Per token, from the start."""
    no_sql_share: float = 0.2
    flat_group_share: float = 0.95
    """Groups without variance."""
    slow_query_s: float = 1.0
    """Wall seconds within which 95 % of the agent's queries end."""

    def __post_init__(self) -> None:
        for name in ("patience", "window"):
            least = 1 if name == "window" else 0
            if getattr(self, name) < least:
                raise ConfigError(f"monitors.{name} must be at least {least}, got {getattr(self, name)}")
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if isinstance(value, float) and not 0.0 < value < math.inf:
                raise ConfigError(f"monitors.{name} must be a positive number, got {value!r}")
        if self.length_factor <= 1.0:
            raise ConfigError(f"monitors.length_factor must be above 1, got {self.length_factor!r}")
