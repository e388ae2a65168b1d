"""Task order and seeds depend on the run's seed and the place, and on nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lit_sql_trainer.rollouts.seeds import TaskOrder, sampling_seed


@given(st.integers(1, 40), st.integers(0, 5), st.lists(st.integers(1, 30), max_size=8))
def test_any_split_of_the_draws_gives_one_order(size: int, seed: int, parts: list[int]) -> None:
    """Drawing in parts, each from a fresh object that knows only how many were drawn, equals drawing at once."""
    whole = TaskOrder(size, seed=seed).take(sum(parts))
    pieces: list[int] = []
    for part in parts:
        pieces += TaskOrder(size, seed=seed, consumed=len(pieces)).take(part)
    assert pieces == whole


@given(st.integers(1, 40), st.integers(0, 5))
def test_a_pass_sees_every_task_once(size: int, seed: int) -> None:
    """Draws are without replacement within a pass, and passes are shuffled anew."""
    order = TaskOrder(size, seed=seed)
    assert sorted(order.take(size)) == list(range(size))
    assert sorted(order.take(size)) == list(range(size))


def test_passes_and_seeds_differ() -> None:
    """Neither the second pass nor another seed repeats the order."""
    order = TaskOrder(50, seed=0)
    assert len({tuple(order.take(50)), tuple(order.take(50)), tuple(TaskOrder(50, seed=1).take(50))}) == 3


def test_nothing_to_draw_from_is_an_error() -> None:
    """An empty dataset has no order."""
    with pytest.raises(ValueError, match="at least one"):
        TaskOrder(0, seed=0)


def test_sampling_seeds_are_stable_and_distinct() -> None:
    """Written numbers hold in any process; 1 000 rollouts of a step have 1 000 seeds that JSON readers keep exact."""
    assert sampling_seed(0, phase="train", step=0, task=0, sample=0) == 6102122303279710
    seeds = {
        sampling_seed(0, phase="train", step=step, task=task, sample=sample)
        for step in range(10)
        for task in range(10)
        for sample in range(10)
    }
    assert len(seeds) == 1000
    assert max(seeds) < 2**53
