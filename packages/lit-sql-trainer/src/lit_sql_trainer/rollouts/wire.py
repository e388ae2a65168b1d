"""What an algorithm and the agent must spell alike: where the model is found, and what a rollout carries with it."""

from __future__ import annotations

MODEL_RESOURCE = "main_llm"
"""The resource under which every algorithm publishes the model; the name is the library's own, for VERL."""

SAMPLING_SEED = "sampling_seed"
"""Key of `rollout.metadata`; the agent passes its value as `seed` of every request of that rollout."""

KEEPS_ALIVE = "keeps_alive"
"""Key of `rollout.metadata`: true when the server sends signs of life while it works, so that only silence ends a
request or a rollout; see `ModelEndpoint.keeps_alive`."""

FRESH_SEEDS = "fresh_seeds"
"""Key of `rollout.metadata`: true when the server takes a seed as it is, so that each turn needs one of its own."""
