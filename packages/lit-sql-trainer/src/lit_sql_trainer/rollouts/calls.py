"""Model calls of one rollout: all with its seed, none begun past its deadline."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, Any

from lit_sql_trainer.errors import RolloutError

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import BaseMessage
    from langchain_core.runnables import RunnableConfig


class BoundedChat:
    """A chat model that sends `seed` with every request and refuses to start one after `deadline_s` seconds.

    The seed is the same in every call, as the local server expects: it mixes in the prompt, so that turns draw
    independently, and it samples the rollouts of one task together because it knows their seeds. A server that takes a
    seed as it is, like vLLM, would draw the same numbers at every turn and make a rewrite repeat what it rewrites:
    for such a one set `fresh_seeds`. The wrapped model's own timeout bounds a call that has begun, so a rollout ends
    at most one call's time later. Without a `deadline_s` nothing is refused: each call then ends by itself.
    """

    def __init__(self, chat: BaseChatModel, *, deadline_s: float | None, seed: int) -> None:
        self._chat = chat
        self._seed = seed
        self._deadline_s = deadline_s
        self._ends = None if deadline_s is None else time.monotonic() + deadline_s
        self.fresh_seeds = False
        """Whether each call gets a seed of its own, made of the rollout's and the number of the call."""
        self.calls = 0
        """Calls begun so far."""

    @property
    def temperature(self) -> float | None:
        """The temperature of every call that names no other; None leaves it to the server."""
        return getattr(self._chat, "temperature", None)

    @property
    def seed(self) -> int:
        """The seed of every call that names no other."""
        return self._seed

    def invoke(
        self, input: list[BaseMessage], /, config: RunnableConfig | None = None, **sampling_parameters: Any
    ) -> BaseMessage:
        """The model's reply. `sampling_parameters` hold for this call alone, a seed among them too.

        Raises:
            RolloutError: the rollout's time is over.
        """
        if self._ends is not None and time.monotonic() >= self._ends:
            raise RolloutError(
                f"no time left after {self.calls} model calls: a rollout may take {self._deadline_s:g} s "
                f"(rollout.deadline_s); is the endpoint overloaded?"
            )
        self.calls += 1
        heated = sampling_parameters.get("temperature")  # the agent asks again, and wants another reply
        seed = stable_seed(self._seed, self.calls) if self.fresh_seeds or heated else self._seed
        parameters: dict[str, Any] = {"seed": seed, **sampling_parameters}
        return self._chat.invoke(input, config, **parameters)


def stable_seed(*parts: int | str) -> int:
    """A seed in [0, 2³¹) that depends on every part; the same in every process and version of Python."""
    text = "\x1f".join(map(str, parts))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest()) >> 1
