"""Makes vLLM's HTTP server sample from the adapter that VERL trains, instead of from the model underneath.

VERL 0.7.0 hands the trained LoRA to vLLM under a fixed number, and names it in the requests of its own agent loop.
Agent-lightning's rollouts come over HTTP with the name of the model, which vLLM takes for the model without adapter:
training would go on for hours and every rollout would come from the untouched weights. VERL imports `lora_hook`,
as `actor_rollout_ref.model.external_lib`, in each process that holds a model; there the adapter is added to every
request that names none, and an adapter without weights is refused: with peft 0.21 VERL gathers none at all, and all
would go on as before, from the untouched weights.
"""

# verl and vLLM are not installed where types are checked:
# pyright: reportMissingImports=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable
from typing import Protocol

from lit_sql_trainer.errors import RunError

LIBRARY = "lit_sql_trainer.verl.lora_hook"
"""What VERL is told to import."""
_DONE = "_changed_for_adapters"


class Engine(Protocol):
    """Of vLLM's `AsyncLLM`, what is changed and what is asked."""

    generate: Callable[..., AsyncIterator[object]]

    async def list_loras(self) -> Collection[int]: ...


class Rollout(Protocol):
    """Of VERL's `vLLMAsyncRollout`, what is changed."""

    update_weights: Callable[..., Awaitable[None]]


def name_adapter(engine: type[Engine], *, number: int, request: Callable[[], object]) -> None:
    """Have `engine.generate` use adapter `number` in requests that name none, as soon as the engine holds it.

    Doing it twice changes nothing. VERL's first synchronisation loads the model without an adapter: until the second,
    a fresh adapter would change nothing anyhow.

    Args:
        engine: vLLM's `AsyncLLM`, with `generate(…, lora_request=…)` and `list_loras()`.
        number: under which VERL loads the adapter.
        request: makes vLLM's `LoRARequest` for it.
    """
    plain = engine.generate
    if getattr(plain, _DONE, False):
        return

    @functools.wraps(plain)
    async def generate(
        self: Engine,
        prompt: object,
        sampling_params: object,
        request_id: str,
        lora_request: object = None,
        **options: object,
    ) -> AsyncIterator[object]:
        if lora_request is None and number in await self.list_loras():
            lora_request = request()
        async for output in plain(self, prompt, sampling_params, request_id, lora_request, **options):
            yield output

    generate.__dict__[_DONE] = True
    engine.generate = generate


def refuse_empty(rollout: type[Rollout]) -> None:
    """Have `rollout.update_weights` refuse an adapter without weights with `RunError`; doing it twice changes nothing.

    Args:
        rollout: VERL's `vLLMAsyncRollout`; it is given pairs of name and tensor, of the adapter alone once the base is
            in place.
    """
    plain = rollout.update_weights
    if getattr(plain, _DONE, False):
        return

    @functools.wraps(plain)
    async def update_weights(self: Rollout, weights: Iterable[object], **options: object) -> None:
        if options.get("peft_config") and options.get("base_sync_done"):
            weights = list(weights)
            if not weights:
                raise RunError(
                    "VERL gathered no weights of the adapter, so vLLM would sample from the untouched model: install "
                    "peft below 0.21, as apps/train asks for"
                )
        await plain(self, weights, **options)

    update_weights.__dict__[_DONE] = True
    rollout.update_weights = update_weights


def apply() -> None:
    """Change VERL's rollout and vLLM's engine in this process, for the number and the name that VERL uses."""
    from verl.workers.rollout.vllm_rollout import vLLMAsyncRollout
    from verl.workers.rollout.vllm_rollout.utils import VLLM_LORA_INT_ID, VLLM_LORA_NAME, VLLM_LORA_PATH
    from vllm.lora.request import LoRARequest
    from vllm.v1.engine.async_llm import AsyncLLM

    def request() -> object:
        return LoRARequest(lora_name=VLLM_LORA_NAME, lora_int_id=VLLM_LORA_INT_ID, lora_path=VLLM_LORA_PATH)

    refuse_empty(vLLMAsyncRollout)
    name_adapter(AsyncLLM, number=int(VLLM_LORA_INT_ID), request=request)
