"""The crew: back-pressure, stopping, errors."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from lit_sql_trainer.evaluation.threads import Crew


def never() -> bool:
    return False


def test_every_item_is_done_once() -> None:
    """In whatever order."""
    assert sorted(Crew(lambda item: item * 2, workers=3, stop=never).over(range(50))) == [2 * n for n in range(50)]


def test_nothing_is_begun_that_nobody_takes() -> None:
    """With a slow taker, the items taken stay within what is yielded plus what may wait."""
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for number in range(1000):
            taken += 1
            yield number

    results = Crew(lambda item: item, workers=4, stop=never).over(items())
    for _ in range(5):
        next(results)
    time.sleep(0.3)
    assert taken <= 5 + 4 + 4 + 1
    results.close()  # type: ignore[attr-defined]
    time.sleep(0.3)
    assert taken <= 5 + 4 + 4 + 1


def test_stopping_finishes_what_is_under_way() -> None:
    """What was begun is yielded; nothing else is begun."""
    begun: list[int] = []
    stopping = threading.Event()

    def work(item: int) -> int:
        begun.append(item)
        time.sleep(0.02)
        return item

    done: list[int] = []
    for result in Crew(work, workers=3, stop=stopping.is_set).over(range(1000)):
        done.append(result)
        if len(done) == 5:
            stopping.set()
    assert sorted(done) == sorted(begun)
    assert len(done) < 30


def test_an_error_comes_out_where_the_results_do() -> None:
    """It ends the work."""

    def work(item: int) -> int:
        if item == 7:
            raise LookupError("seven")
        return item

    with pytest.raises(LookupError, match="seven"):
        list(Crew(work, workers=2, stop=never).over(range(1000)))
