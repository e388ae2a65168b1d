"""What the algorithm tells whoever watches it, as plain values. Importing this costs nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

Metrics = Mapping[str, Any]
"""JSON-ready: numbers, strings, None, and dicts of these."""


class Observer(Protocol):
    """Called from the algorithm's process, between phases; must return soon and not raise."""

    def on_step(self, metrics: Metrics) -> None:
        """After each update. Keys: see `algorithm.LocalGrpo`."""

    def on_validation(self, metrics: Metrics) -> None:
        """After each validation: `step`, `reward`, `standard_error`, `rollouts`, `dropped`, `seconds`, `best`."""

    def on_checkpoint(self, path: str, step: int) -> None:
        """After a checkpoint is complete on disk."""


class NoObserver:
    """Watches nothing."""

    def on_step(self, metrics: Metrics) -> None:
        """Ignored."""

    def on_validation(self, metrics: Metrics) -> None:
        """Ignored."""

    def on_checkpoint(self, path: str, step: int) -> None:
        """Ignored."""
