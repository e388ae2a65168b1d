"""What this room asks of a causal language model and of its tokenizer; those of transformers have all of it.

transformers annotates its classes in part only, so this is where they get their types.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol

import torch


class Output(Protocol):
    """What a pass leaves; a model gives logits, its inner model the last states."""

    logits: torch.Tensor
    last_hidden_state: torch.Tensor


class Pass(Protocol):
    """A model, or the inner one without an output layer, called on token ids (rows, columns)."""

    def __call__(self, *, input_ids: torch.Tensor, **options: object) -> Output: ...


class Head(Protocol):
    """The output layer: states (…, width) to logits (…, vocabulary)."""

    def __call__(self, states: torch.Tensor, /) -> torch.Tensor: ...


class CausalModel(Pass, Protocol):
    """A language model."""

    config: object
    generation_config: object
    training: bool
    device: torch.device
    dtype: torch.dtype
    base_model: Pass

    def get_output_embeddings(self) -> Head: ...
    def parameters(self) -> Iterator[torch.nn.Parameter]: ...
    def train(self, mode: bool = True, /) -> object: ...
    def eval(self) -> object: ...
    def to(self, place: str | torch.dtype, /) -> CausalModel: ...
    def set_attn_implementation(self, name: str, /) -> object: ...
    def save_pretrained(self, folder: Path, /) -> object: ...


class Tokenizer(Protocol):
    """A tokenizer with a chat template."""

    eos_token_id: int | None
    pad_token_id: int | None

    def __len__(self) -> int: ...
    def encode(self, text: str, /, *, add_special_tokens: bool) -> list[int]: ...
    def decode(self, token_ids: list[int], /, *, skip_special_tokens: bool = False) -> str: ...
    def apply_chat_template(
        self,
        messages: Sequence[Mapping[str, str]],
        /,
        *,
        add_generation_prompt: bool,
        tokenize: Literal[True],
        return_dict: Literal[False],
    ) -> list[int]:
        """Token ids of a prompt; from transformers 5 on, only `return_dict=False` gives them as a plain list."""
        ...

    def save_pretrained(self, folder: Path, /) -> object: ...
