"""What a back end tells whoever watches it, as plain values. Importing this costs nothing."""

from __future__ import annotations

from typing import Protocol

from lit_sql_trainer.rollouts.metrics import StepMetrics, ValidationMetrics


class Observer(Protocol):
    """Called from the algorithm's process, between phases; must return soon and not raise."""

    def on_step(self, metrics: StepMetrics) -> None:
        """After each update."""

    def on_validation(self, metrics: ValidationMetrics) -> None:
        """After each validation."""
