"""Ask several times and answer with the result that most samples agree on.

The first sample is the greedy answer, the others are drawn with some temperature, each a whole run of the agent. All
begin with the same prompt, so a server that caches prefixes reads it once. Sampling stops as soon as no further sample
can change the result.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from sql_graph.agent.ballot import Ballot
from sql_graph.agent.calls import Call
from sql_graph.errors import ModelCallError, ModelFault

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage
    from langchain_core.runnables import RunnableConfig

    from sql_graph.agent.nodes import Agent
    from sql_graph.agent.state import SqlAnswer
    from sql_graph.ports import ChatModel

TEMPERATURE = 0.8
"""Of the samples after the first, where the model's own temperature is 0."""


def vote(
    agent: Agent,
    ask: Callable[[Agent], SqlAnswer],
    *,
    on_sample: Callable[[int], None] = lambda sample: None,
) -> SqlAnswer:
    """The answer that most of up to `agent.votes` samples agree on; `ask` runs an agent once.

    The model's `invoke` has to take sampling parameters as keywords, as LangChain's models and those of this package
    do. Its own temperature is that of the samples; where it is 0 that is `TEMPERATURE`, and where it has none
    (the server chooses) every sample is asked alike. `on_sample` gets the number of each sample before it begins.

    Raises:
        DatabaseError, ModelCallError: a sample failed for reasons that are not the model's.
    """
    if agent.votes == 1:
        return ask(agent)
    probabilities = _Probabilities()
    ballot = Ballot()
    for i in range(agent.votes):
        on_sample(i)
        found = ask(replace(agent, votes=1, chat=SampleChat(agent.chat, sample=i, probabilities=probabilities)))
        ballot.add(replace(found, calls=tuple(replace(call, sample=i) for call in found.calls)))
        if ballot.is_certain(remaining=agent.votes - i - 1):
            break
    return merged(ballot)


def merged(ballot: Ballot) -> SqlAnswer:
    """The elected answer, with the calls of all samples and the share of those that agree with it."""
    chosen, agreement = ballot.elected()
    calls: tuple[Call, ...] = tuple(call for sample in ballot.samples for call in sample.calls)
    samples = tuple(replace(sample, result=None) for sample in ballot.samples)  # the rows of one are enough
    return replace(ballot.samples[chosen], calls=calls, agreement=agreement, chosen=chosen, samples=samples)


class _Probabilities:
    """Whether the endpoint is asked for log-probabilities: until it rejects that, once for all samples."""

    def __init__(self) -> None:
        self.wanted = True


class SampleChat:
    """A model as one sample asks it: the first greedily, the others with a temperature and a seed of their own."""

    def __init__(self, chat: ChatModel, *, sample: int, probabilities: _Probabilities | None = None) -> None:
        self._chat: Any = chat
        self._sample = sample
        self._probabilities = probabilities or _Probabilities()
        self._calls = 0
        own = cast("float | None", getattr(chat, "temperature", None))
        self.temperature: float | None = None if own is None else 0.0 if sample == 0 else own or TEMPERATURE
        """The temperature of every call that names no other; None leaves it to the server."""
        self.seed = cast("int | None", getattr(chat, "seed", None))
        """The model's own seed, from which each call of a later sample gets another."""

    def invoke(
        self, input: list[BaseMessage], /, config: RunnableConfig | None = None, **sampling_parameters: Any
    ) -> BaseMessage:
        """The model's reply, with log-probabilities where the endpoint gives them."""
        self._calls += 1
        parameters: dict[str, Any] = {}
        if self.temperature is not None:
            parameters["temperature"] = self.temperature
        if self.seed is not None and self._sample:
            parameters["seed"] = _seed(self.seed, self._sample, self._calls)
        parameters |= sampling_parameters
        if not self._probabilities.wanted:
            return self._chat.invoke(input, config, **parameters)
        try:
            return self._chat.invoke(input, config, **parameters, logprobs=True)
        except ModelCallError as error:
            if error.fault is not ModelFault.REJECTED:
                raise
            self._probabilities.wanted = False  # the same prompt again, without what some endpoints do not give
            return self._chat.invoke(input, config, **parameters)


def _seed(*parts: int) -> int:
    """A seed in [0, 2³¹) that depends on every part."""
    text = ",".join(map(str, parts))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big") >> 1
