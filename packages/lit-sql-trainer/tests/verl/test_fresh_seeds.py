"""A server that takes a seed as it is gets another one at every turn."""

from __future__ import annotations

from typing import Any

from lit_sql_trainer.rollouts.calls import BoundedChat


class Asked:
    """A chat that remembers the seeds it was sent."""

    def __init__(self) -> None:
        self.seeds: list[int] = []

    def invoke(self, messages: Any, config: Any = None, *, seed: int) -> str:
        self.seeds.append(seed)
        return "SELECT 1"


def seeds_of_two_turns(*, fresh: bool, seed: int = 7) -> list[int]:
    asked = Asked()
    chat = BoundedChat(asked, deadline_s=60, seed=seed)
    chat.fresh_seeds = fresh
    for _ in range(2):
        chat.invoke([])
    return asked.seeds


def test_turns_draw_independently() -> None:
    """With fresh seeds the turns differ, the same rollout repeats itself, and other rollouts share nothing."""
    first, second = seeds_of_two_turns(fresh=True)
    assert first != second
    assert seeds_of_two_turns(fresh=True) == [first, second]
    assert not {first, second} & set(seeds_of_two_turns(fresh=True, seed=8))


def test_the_local_server_gets_the_rollouts_seed() -> None:
    """It mixes in the prompt itself."""
    assert seeds_of_two_turns(fresh=False) == [7, 7]
