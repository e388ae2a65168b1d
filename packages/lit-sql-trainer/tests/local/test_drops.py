"""Lost rollouts are counted, and too many stop the run with their reasons."""

from __future__ import annotations

import pytest

from lit_sql_trainer.errors import FailureLimitError
from lit_sql_trainer.rollouts import DropWindow


def test_the_sixth_of_256_stops_the_run() -> None:
    """Two per cent of 256 are five; the sixth names the reasons, the commonest first."""
    window = DropWindow(limit=0.02, size=256)
    for _ in range(4):
        window.lost("endpoint down")
        window.kept()
    window.lost("timeout")
    with pytest.raises(FailureLimitError, match="5 × endpoint down; 1 × timeout"):
        window.lost("endpoint down")


def test_old_losses_are_forgotten() -> None:
    """Only the window counts towards the limit; the total goes on counting."""
    window = DropWindow(limit=0.1, size=10)
    for _ in range(5):
        window.lost("cut connection")
        for _ in range(10):
            window.kept()
    assert (window.dropped, window.seen) == (5, 55)


def test_no_loss_may_be_allowed() -> None:
    """A limit of 0 stops at the first."""
    with pytest.raises(FailureLimitError, match="no reason given"):
        DropWindow(limit=0.0, size=256).lost("")
