"""Held-out sets, for any tasks and any seed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spider_data import SpiderTask
from spider_data.splits import carve_by_database, carve_by_question

Carve = Callable[..., tuple[list[SpiderTask], list[SpiderTask]]]

pairs = st.lists(st.tuples(st.sampled_from("abcde"), st.integers(0, 9), st.integers(0, 6)), min_size=1, max_size=40)
shares = st.floats(0, 0.9)


def make(rows: list[tuple[str, int, int]]) -> list[SpiderTask]:
    return [
        SpiderTask(task_id=f"t-{n}", db_id=db_id, question=f"q{question}", query=f"SELECT  {query}", split="train")  # pyright: ignore[reportArgumentType]
        for n, (db_id, question, query) in enumerate(rows)
    ]


@pytest.mark.parametrize("carve", [carve_by_database, carve_by_question])
@given(rows=pairs, share=shares, seed=st.integers(0, 99))
def test_every_task_is_on_one_side_in_its_order(
    carve: Carve, rows: list[tuple[str, int, int]], share: float, seed: int
) -> None:
    """Nothing is lost, doubled or reordered, training is never empty, and the same seed gives the same sets."""
    tasks = make([*rows, ("z", 100, 100)])
    rest, held = carve(tasks, share=share, seed=seed)
    order = {task.task_id: position for position, task in enumerate(tasks)}
    for part in (rest, held):
        assert [task.task_id for task in part] == sorted((task.task_id for task in part), key=order.__getitem__)
    assert sorted(order) == sorted(task.task_id for task in rest + held)
    assert rest
    assert {task.split for task in rest} == {"train"}
    assert {task.split for task in held} <= {"validation"}
    assert carve(tasks, share=share, seed=seed) == (rest, held)


@given(rows=pairs, share=shares, seed=st.integers(0, 99))
def test_by_database_shares_none(rows: list[tuple[str, int, int]], share: float, seed: int) -> None:
    """Whole databases only; the held-out part is at least its share, unless one database must stay."""
    tasks = make([*rows, ("z", 100, 100)])
    rest, held = carve_by_database(tasks, share=share, seed=seed)
    assert not {task.db_id for task in rest} & {task.db_id for task in held}
    assert len(held) >= share * len(tasks) or len({task.db_id for task in rest}) == 1


@given(rows=pairs, share=shares, seed=st.integers(0, 99))
def test_by_question_shares_no_answer(rows: list[tuple[str, int, int]], share: float, seed: int) -> None:
    """No question and no query of a database is on both sides; a share above nothing holds something out."""
    tasks = make([*rows, ("z", 100, 100)])
    rest, held = carve_by_question(tasks, share=share, seed=seed)
    for text in ("question", "query"):
        sides = [{(task.db_id, getattr(task, text)) for task in part} for part in (rest, held)]
        assert not sides[0] & sides[1]
    assert bool(held) == (share > 0)


def test_by_question_every_database_gives_its_part() -> None:
    """With ten different questions on each database, a share of a fifth is two of each."""
    tasks = make([(db_id, n, n) for db_id in "abc" for n in range(10)])
    _, held = carve_by_question(tasks, share=0.2, seed=3)
    assert sorted(task.db_id for task in held) == ["a", "a", "b", "b", "c", "c"]


def test_a_transitive_family_stays_together() -> None:
    """One question with two queries, one of which has another question: all three on one side."""
    tasks = make([("a", 1, 1), ("a", 1, 2), ("a", 3, 2), ("a", 4, 4), ("a", 5, 5)])
    for seed in range(20):
        rest, _ = carve_by_question(tasks, share=0.4, seed=seed)
        assert len({task.task_id for task in rest} & {"t-0", "t-1", "t-2"}) in (0, 3)
