"""The size of a model from its `config.json` alone: how many parameters, and how large a token's keys and values are.

Covers decoder-only transformers with grouped-query attention and a gated feed-forward, which are what the profiles
name (Qwen2, Qwen3, Llama, Mistral, SmolLM). Where the weights lie beside the configuration, their headers are summed
up instead, which is exact for any model.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import cast


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """The sizes of a model that its memory depends on."""

    parameters: int
    layers: int
    hidden: int
    vocabulary: int
    key_value_width: int
    """Numbers that one layer keeps of one token: keys and values of all key-value heads."""
    linear_sides: int
    """Sum of rows and columns of one layer's seven linear maps: a LoRA of rank r has r times as many parameters."""
    context_tokens: int
    exact: bool = False
    """The parameters were counted in the weights, not computed from the configuration."""

    @property
    def cache_numbers_per_token(self) -> int:
        """Numbers in the key-value cache for one token."""
        return self.layers * self.key_value_width


def read_shape(folder: Path) -> ModelShape | None:
    """The shape of the model in a folder; None where its configuration is missing or of an unknown kind."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        shape = shape_of(config)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    counted = count_parameters(folder)
    return shape if counted is None else replace(shape, parameters=counted, exact=True)


def shape_of(config: Mapping[str, str | float]) -> ModelShape:
    """The shape that a configuration describes.

    Parameters: embeddings (twice unless tied), and for each layer the four attention projections (with biases as in
    Qwen2), three feed-forward matrices, two norms, and Qwen3's two norms of a head; one norm at the end.

    Raises:
        KeyError, TypeError: it describes no such transformer.
    """
    hidden, layers, heads = (int(config[key]) for key in ("hidden_size", "num_hidden_layers", "num_attention_heads"))
    head = int(config.get("head_dim") or hidden // heads)
    pairs = int(config.get("num_key_value_heads") or heads)
    vocabulary, inner = int(config["vocab_size"]), int(config["intermediate_size"])
    kind = str(config.get("model_type", ""))
    queries, keys = heads * head, pairs * head
    layer = hidden * (2 * queries + 2 * keys) + 3 * hidden * inner + 2 * hidden
    if kind == "qwen2" or config.get("attention_bias"):
        layer += queries + 2 * keys
    if kind == "qwen3":
        layer += 2 * head
    embeddings = vocabulary * hidden * (1 if config.get("tie_word_embeddings") else 2)
    return ModelShape(
        parameters=embeddings + layers * layer + hidden,
        layers=layers,
        hidden=hidden,
        vocabulary=vocabulary,
        key_value_width=2 * keys,
        linear_sides=2 * (hidden + queries) + 2 * (hidden + keys) + 3 * (hidden + inner),
        context_tokens=int(config.get("max_position_embeddings") or 0),
    )


def count_parameters(folder: Path) -> int | None:
    """Numbers in the safetensors files of a folder, read from their headers; None where there are none."""
    total = 0
    files = sorted(folder.glob("*.safetensors"))
    for file in files:
        try:
            with file.open("rb") as stream:
                (length,) = struct.unpack("<Q", stream.read(8))
                header = cast("dict[str, Mapping[str, Sequence[int]]]", json.loads(stream.read(length)))
        except (OSError, ValueError, struct.error):
            return None
        total += sum(prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")
    return total if files else None
