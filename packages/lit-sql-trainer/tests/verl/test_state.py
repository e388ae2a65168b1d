"""What a VERL run remembers across a resume."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lit_sql_trainer.errors import RunError
from lit_sql_trainer.verl.state import STATE_FILE, VerlState, read_state, write_state


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    """Through the file, exactly."""
    state = replace(VerlState(seed=7, step=3, tasks_consumed=48), best_validation=0.25, best_step=2)
    write_state(tmp_path / "global_step_3", state)
    assert read_state(tmp_path / "global_step_3") == state


def test_a_checkpoint_of_another_trainer_is_refused(tmp_path: Path) -> None:
    """It has no state of ours, or one with other fields."""
    with pytest.raises(RunError, match="another trainer or version"):
        read_state(tmp_path)
    (tmp_path / STATE_FILE).write_text('{"seed": 1, "moon": 2}')
    with pytest.raises(RunError, match="another trainer or version"):
        read_state(tmp_path)


def test_patience_counts_from_the_last_real_gain() -> None:
    """A gain within the standard error is no gain, though it may be the best so far."""
    state = VerlState(seed=0).validated(0.50, 0.02)
    state = replace(state, step=50).validated(0.51, 0.02)
    assert (state.best_validation, state.best_step, state.last_gain_step) == (0.51, 50, 0)
    assert not state.stalled(100)
    state = replace(state, step=100)
    assert state.stalled(100)
    assert not state.stalled(None)
    assert not state.validated(0.53, 0.02).stalled(100)
