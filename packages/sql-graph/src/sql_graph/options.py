"""How the agent can be set: who checks a query, how much the model is told, how it is asked again."""

from __future__ import annotations

from enum import StrEnum


class CheckMode(StrEnum):
    """Who looks at a query after it ran."""

    LLM = "llm"
    """The model, in a call of its own, as in the tutorial."""
    RULES = "rules"
    """Rules that cost no call: it failed, it found nothing, it shows more than the one number asked for."""
    BOTH = "both"
    """The rules first; the model only for what they let pass."""
    NONE = "none"
    """Nobody: what ran is approved, and only what failed is written anew."""


class RewriteForm(StrEnum):
    """How the model is asked again after a query failed or was not approved."""

    LESSON = "lesson"
    """The failed queries are not shown; what they teach about the database stands beside the question. A small model
    copies a query that it is shown. From the second rewrite on a greedy model is asked with some randomness, and a
    repeated query is asked for again."""
    CONVERSATION = "conversation"
    """The failed query stands as the assistant's own words, what it gave as the next message; a repeated query ends
    the run. As in the tutorial."""


class PromptStyle(StrEnum):
    """How much is said to the model."""

    FULL = "full"
    """Conventions, the schema with sample values, and a system message: for instruction-tuned models."""
    COMPACT = "compact"
    """One short message that is mostly schema: for models of a million parameters and contexts of 512 tokens."""
