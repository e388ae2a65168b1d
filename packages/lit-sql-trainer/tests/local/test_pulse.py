"""Who is dead is decided by silence while somebody looks, and by nothing else."""

from __future__ import annotations

import agentlightning as agl

from lit_sql_trainer.rollouts.pulse import HEARTBEAT_S, Pulse


class Clock:
    """Goes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def worker(name: str = "one", *, beat: float | None = 5.0, busy: float | None = None) -> agl.Worker:
    return agl.Worker(worker_id=name, last_heartbeat_time=beat, last_busy_time=busy)


def dead(pulse: Pulse, *workers: agl.Worker) -> list[str]:
    return [each.worker_id for each in pulse.look(workers)]


def test_silence_kills_and_any_sign_revives() -> None:
    """The limit itself is still alive; a heartbeat, or a new rollout, starts the count again."""
    clock = Clock()
    pulse = Pulse(limit_s=30, clock=clock)
    assert dead(pulse, worker()) == []
    clock.now += 30
    assert dead(pulse, worker()) == []
    clock.now += 0.1
    assert dead(pulse, worker()) == ["one"]
    assert dead(pulse, worker(busy=7.0)) == []
    clock.now += 30.1
    assert dead(pulse, worker(busy=7.0)) == ["one"]
    assert dead(pulse, worker(beat=6.0, busy=7.0)) == []


def test_each_runner_has_its_own_count() -> None:
    """One beats, one has stopped, one was killed before its first heartbeat, one is at work and beats not."""
    clock = Clock()
    pulse = Pulse(limit_s=30, clock=clock)
    for beat in range(5):
        workers = [
            worker("beats", beat=float(beat)),
            worker("stopped"),
            worker("killed early", beat=None),
            worker("works", beat=None, busy=float(beat)),
        ]
        found = dead(pulse, *workers)
        clock.now += 10
    assert found == ["stopped", "killed early"]


def test_where_nobody_beats_nobody_is_judged() -> None:
    """Runners may have been told not to; a rollout's own time is the limit then."""
    clock = Clock()
    pulse = Pulse(limit_s=30, clock=clock)
    for _ in range(5):
        assert dead(pulse, worker("one", beat=None), worker("other", beat=None)) == []
        clock.now += 10


def test_clocks_of_other_machines_do_not_matter() -> None:
    """A heartbeat dated years ago, or in the future, is a heartbeat."""
    clock = Clock()
    pulse = Pulse(limit_s=30, clock=clock)
    for beat in (1e9, -1e9, 5e9):
        assert dead(pulse, worker(beat=beat)) == []
        clock.now += 29


def test_looks_are_rare() -> None:
    """The first is due at once, the next after half a heartbeat."""
    clock = Clock()
    pulse = Pulse(limit_s=60, clock=clock)
    assert pulse.due()
    pulse.look([])
    assert not pulse.due()
    clock.now += HEARTBEAT_S / 2
    assert pulse.due()
