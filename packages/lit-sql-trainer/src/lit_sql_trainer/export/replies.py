"""Compares greedy replies to the agent's own first prompts: equal weights must give equal text, to the letter.

Three models answer: the checkpoint (its tensors in a fresh model), the export (loaded from its files as any user
would) and the base. transformers generates, in float32, one prompt at a time. Imports torch: import this module late.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lit_sql_trainer.agent.first_prompt import FirstPrompt, Messages
from lit_sql_trainer.data import embedded_data
from lit_sql_trainer.errors import ModelError
from lit_sql_trainer.local.policy import is_small
from lit_sql_trainer.models.weights import State
from lit_sql_trainer.profile.profile import RolloutSettings
from spider_data import DatabaseCatalog, read_tasks

MAX_TOKENS = 96
LOOKED_AT = 64
"""At most this many prompts are tried to find one to which checkpoint and base reply differently."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One prompt and its question, never its gold query."""

    task_id: str
    question: str
    messages: Messages


class Speaker:
    """A model with its tokenizer that replies greedily."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._model = model.to(dtype=torch.float32, device=self._device).eval()
        if is_small(self._model):
            torch.set_num_threads(1)
        self._tokenizer = tokenizer

    @classmethod
    def load(cls, model: str) -> Speaker:
        """Load a folder or a Hugging Face id as any user would.

        Raises:
            ModelError: the model cannot be loaded.
        """
        _, auto_model, auto_tokenizer = _auto()
        try:
            return cls(auto_model.from_pretrained(model, dtype=torch.float32), auto_tokenizer.from_pretrained(model))
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise ModelError(f"cannot load {model!r}: {error}") from error

    @classmethod
    def assembled(cls, config: Path, state: State) -> Speaker:
        """Build a fresh model from the configuration in a folder and load these tensors into it.

        Raises:
            ModelError: the tensors do not fit the configuration.
        """
        auto_config, auto_model, auto_tokenizer = _auto()
        model = auto_model.from_config(auto_config.from_pretrained(config), dtype=torch.float32)
        try:
            absent, unexpected = model.load_state_dict(state, strict=False)
        except RuntimeError as error:
            raise ModelError(f"the weights do not fit {config / 'config.json'}: {error}") from error
        tied = set(getattr(model, "_tied_weights_keys", None) or ())
        missing = [name for name in absent if name not in tied]
        if missing or unexpected:
            raise ModelError(f"the weights do not fit {config / 'config.json'}: {missing=}, {unexpected=}")
        model.tie_weights()
        return cls(model, auto_tokenizer.from_pretrained(config))

    @torch.inference_mode()
    def __call__(self, messages: Messages) -> str:
        """The greedy reply."""
        ids = self._tokenizer.apply_chat_template(
            [dict(message) for message in messages],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=False,
        ).to(self._device)
        made = self._model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            max_new_tokens=MAX_TOKENS,
            pad_token_id=self._tokenizer.eos_token_id,
        )
        return str(self._tokenizer.decode(made[0, ids.shape[1] :], skip_special_tokens=True))


def prompts(data: Path | None, settings: RolloutSettings, *, most: int) -> list[Asked]:
    """The first prompts of up to `most` validation questions, evenly spaced over the split."""
    folder = data or embedded_data()
    catalog = DatabaseCatalog(folder)
    tasks = [task for task in read_tasks(folder / "validation.parquet") if task.db_id in catalog]
    chosen = tasks[:: max(1, len(tasks) // most)][:most]
    asked: list[Asked] = []
    for task in chosen:
        messages = FirstPrompt(catalog.path(task.db_id), settings)(task.question)
        if messages is not None:
            asked.append(Asked(task_id=task.task_id, question=task.question, messages=messages))
    return asked


def telling_prompts(asked: Sequence[Asked], count: int, one: Speaker, other: Speaker) -> list[tuple[Asked, str, str]]:
    """The first `count` prompts with both models' replies; one of them has different replies if any prompt has."""
    replies: list[tuple[Asked, str, str]] = []
    for each in asked:
        replies.append((each, one(each.messages), other(each.messages)))
        if len(replies) >= count and any(first != second for _, first, second in replies):
            break
    differ = [reply for reply in replies if reply[1] != reply[2]]
    if not differ or differ[0] in replies[:count]:
        return replies[:count]
    return [*replies[: count - 1], differ[0]]


def _auto() -> tuple[Any, ...]:
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    return AutoConfig, AutoModelForCausalLM, AutoTokenizer  # transformers' own annotations are partial
