"""The gate: statements run side by side, or one of them alone."""

import threading

from sql_reward.sandbox.gate import Gate

TURNS = 2_000


def test_who_is_alone_is_alone() -> None:
    """While somebody is alone, nobody else is inside; everybody gets in at last."""
    gate = Gate()
    inside: set[str] = set()
    seen: list[set[str]] = []

    def beside(name: str) -> None:
        for _ in range(TURNS):
            gate.enter(name)
            inside.add(name)
            inside.discard(name)
            gate.leave(name)

    def alone() -> None:
        for _ in range(TURNS // 20):
            with gate.alone():
                seen.append(set(inside))

    threads = [threading.Thread(target=beside, args=(f"thread {number}",)) for number in range(4)]
    threads += [threading.Thread(target=alone) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 2 * (TURNS // 20)
    assert not any(seen)


def test_a_thread_that_is_alone_may_ask_again() -> None:
    """Opening a database may need to be alone, and the statement that opens it may be alone already."""
    gate = Gate()
    with gate.alone(), gate.alone():
        pass
    gate.enter("next")
    gate.leave("next")
