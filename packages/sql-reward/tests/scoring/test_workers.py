"""Worker processes: what one item does never costs another one its answer."""

import os
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from sql_reward.scoring import WorkersFailedError
from sql_reward.scoring.worker_process import LossReason, WorkerLoss
from sql_reward.scoring.workers import Patience, run_in_workers

Act = Callable[[object], object]
PATIENT = Patience(cpu_s=60, wall_s=120)


def run(act: Act, items: list[object], *, workers: int = 2, patience: Patience = PATIENT) -> dict[int, object]:
    return dict(run_in_workers(act, items, workers=workers, patience=lambda _: patience))


@pytest.fixture
def act(planted: Callable[[str], Act]) -> Act:
    return planted("act")


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_every_item_is_answered_once(act: Act, workers: int) -> None:
    """Each position has its own answer, however many workers there are, more than items too."""
    assert run(act, [7, 8, 9], workers=workers) == {0: 14, 1: 16, 2: 18}


def test_no_items_need_no_worker(act: Act) -> None:
    """Nothing to do ends at once."""
    assert run(act, []) == {}


def test_none_is_an_answer(act: Act) -> None:
    """A function may answer None."""
    assert run(act, ["none", 1]) == {0: None, 1: 2}


@pytest.mark.parametrize(
    ("word", "reason", "detail"),
    [
        ("die", LossReason.DIED, "SIGKILL"),
        ("exit", LossReason.DIED, "exit code 7"),
        ("raise", LossReason.RAISED, "ValueError: no such luck"),
    ],
)
def test_a_lost_item_is_reported_and_no_other_is_lost(act: Act, word: str, reason: LossReason, detail: str) -> None:
    """Items before, behind and beside one that ends its worker keep their answers; the lost one says why."""
    items: list[object] = [*range(50), word, *range(50), word, *range(50)]
    answers = run(act, items)
    assert len(answers) == len(items)
    for position, item in enumerate(items):
        answer = answers[position]
        if item == word:
            assert isinstance(answer, WorkerLoss)
            assert answer.reason is reason
            assert detail in answer.detail
        else:
            assert answer == 2 * int(str(item))


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the system does not tell processor time of a process")
def test_an_item_that_spins_is_killed_for_its_processor_time(act: Act) -> None:
    """A function out of reach of any deadline is ended after its processor time, and blamed for it."""
    answers = run(act, ["spin", *range(10)], patience=Patience(cpu_s=0.5, wall_s=120))
    assert isinstance(loss := answers[0], WorkerLoss)
    assert loss.reason is LossReason.OVERRAN
    assert loss.seconds < 60
    assert [answers[place] for place in range(1, 11)] == [2 * number for number in range(10)]


def test_an_item_that_waits_is_killed_but_not_blamed(act: Act) -> None:
    """Without processor time used, running out of wall-clock time is not the item's fault."""
    answers = run(act, ["sleep", 1], patience=Patience(cpu_s=60, wall_s=1.5))
    assert isinstance(loss := answers[0], WorkerLoss)
    assert loss.reason is LossReason.STARVED
    assert answers[1] == 2


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is bounded on Linux only")
def test_memory_is_bounded(act: Act) -> None:
    """Taking more address space than allowed fails in the worker, which reports it and goes on."""
    answers = run(act, ["memory", "pid", "pid"], workers=1)
    assert isinstance(loss := answers[0], WorkerLoss)
    assert "MemoryError" in loss.detail
    assert answers[1] == answers[2]


def test_a_worker_killed_from_outside_is_replaced(act: Act) -> None:
    """Killing a process while it works costs its item only."""
    seen = iter(run_in_workers(act, ["pid", "sleep", 3, 4], workers=1, patience=lambda _: PATIENT))
    position, pid = next(seen)
    assert position == 0
    assert isinstance(pid, int)
    threading.Timer(0.3, os.kill, (pid, signal.SIGKILL)).start()
    rest = dict(seen)
    assert isinstance(loss := rest.pop(1), WorkerLoss)
    assert loss.reason is LossReason.DIED
    assert rest == {2: 6, 3: 8}


def test_a_worker_keeps_to_its_group(act: Act) -> None:
    """A worker finishes one group before it turns to the next, for the sake of its caches."""
    answers = run_in_workers(
        act,
        range(20),
        workers=1,
        patience=lambda _: PATIENT,
        group=lambda number: isinstance(number, int) and number % 2,
    )
    assert [position % 2 for position, _ in answers] == [0] * 10 + [1] * 10


def test_nothing_waits_behind_a_slow_item(act: Act) -> None:
    """While one item takes its time, another worker answers the rest of its group: all but the one handed out ahead."""
    items: list[object] = ["sleep", *range(40)]
    answers = run_in_workers(act, items, workers=2, patience=lambda _: Patience(cpu_s=60, wall_s=5))
    order = [position for position, _ in answers]
    assert sorted(order) == list(range(41))
    assert order.index(0) >= 39


def test_large_items_block_nobody(act: Act) -> None:
    """Items that no pipe can hold reach their worker, and wait without holding up the watch over others."""
    large = "x" * 5_000_000
    items: list[object] = ["sleep", large, *range(5), large, "sleep", large]
    answers = run(act, items, workers=2, patience=Patience(cpu_s=60, wall_s=2))
    kinds = [answer.reason if isinstance(answer, WorkerLoss) else answer for _, answer in sorted(answers.items())]
    starved, raised = LossReason.STARVED, LossReason.RAISED
    assert kinds == [starved, raised, 0, 2, 4, 6, 8, raised, starved, raised]


def test_stop_ends_the_workers(act: Act) -> None:
    """Once `stop` says yes, no answer comes any more, and the processes are gone."""
    pids: list[object] = []
    items = ["pid", "pid", "sleep", "sleep"]
    for _, pid in run_in_workers(act, items, workers=2, patience=lambda _: PATIENT, stop=lambda: bool(pids)):
        pids.append(pid)
    assert pids
    for pid in pids:
        assert isinstance(pid, int)
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_caller_that_stops_reading_leaves_no_process(act: Act) -> None:
    """Closing the iterator ends the workers."""
    answers = run_in_workers(act, ["pid", "sleep", "sleep"], workers=2, patience=lambda _: PATIENT)
    _, pid = next(iter(answers))
    answers.close()  # pyright: ignore[reportAttributeAccessIssue]  an iterator of a generator function
    assert isinstance(pid, int)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_workers_that_cannot_start_are_an_error(python: str) -> None:
    """A program without a main guard is told so instead of starting processes for ever."""
    script = Path(__file__).parents[1] / "programs" / "unguarded.py"
    done = subprocess.run([python, script], capture_output=True, text=True, timeout=120, check=False)
    assert "told: no worker process could start" in done.stdout
    assert "__main__" in done.stdout


def test_zero_workers_are_refused(act: Act) -> None:
    """There has to be somebody to do the work."""
    with pytest.raises(ValueError, match="at least one worker, got 0"):
        run(act, [1], workers=0)


def test_the_error_survives_pickling() -> None:
    """Errors cross processes."""
    import pickle

    error = WorkersFailedError("exit code 3")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
