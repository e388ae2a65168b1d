"""The few things the local algorithm asks of Agent-lightning's store beyond its public methods."""

from __future__ import annotations

from collections.abc import Iterable

import agentlightning as agl  # pyright: ignore[reportMissingTypeStubs]  typed inline, but without a marker


async def forget_spans(store: agl.LightningStore, rollout_ids: Iterable[str]) -> None:
    """Free the traces of rollouts that nobody will ask about again.

    The in-memory store keeps every span until a memory limit is reached and then drops the oldest rollouts, finished
    or not. A step of training has no use for its traces once they are triplets, so they go at once. A store of
    another kind is left alone: it keeps its data elsewhere.
    """
    inner = getattr(store, "store", store)  # the strategy wraps the store in an HTTP server
    if not isinstance(inner, agl.InMemoryLightningStore):
        return
    labels = ["rollouts", "spans"]
    async with inner.collections.atomic(mode="rw", labels=labels) as collections:  # pyright: ignore[reportArgumentType]  a list of str is not a list of literals
        for rollout_id in rollout_ids:
            # Its own eviction also corrects the store's account of bytes; there is no public call for one rollout.
            await inner._evict_spans_for_rollout(collections, rollout_id)  # pyright: ignore[reportPrivateUsage]
