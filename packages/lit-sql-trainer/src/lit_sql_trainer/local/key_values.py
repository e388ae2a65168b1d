"""Keys and values of a batch under way, every row written at its own length.

Rows are left-aligned, so whatever stands behind a row's last position contributes exact zeros to its attention. How
many such zeros there are still shows in the last bits of a sum. Attention is therefore as wide as the *class* of the
prompts (`columns_for`) and the number of tokens written since then say, not as wide as the longest row.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers.cache_utils import Cache

COLUMNS = 32
"""Attention reads this many columns at a time: the rounding of a product depends on what is left over."""
_FEWEST = 2 * COLUMNS  # very small products take another path, with another rounding
_GROWTH = COLUMNS  # columns added at a time


class KeyValueStore(Cache):
    """Keys and values of all layers, (rows, heads, capacity, width) each, every row written at its own length."""

    def __init__(self, *, lengths: Sequence[int], device: torch.device) -> None:
        super().__init__(layers=[])
        self.device_ = device
        self.rows = len(lengths)
        self.lengths = torch.tensor(lengths, device=device)
        self.positions = self.lengths
        self.longest = self.width = columns_for(max(lengths))
        self.capacity = self.width + _GROWTH
        self.reading: range | None = None
        self.mask = torch.empty(0)
        self.keys_L: list[torch.Tensor] = []
        self.values_L: list[torch.Tensor] = []

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        layer_idx: int,
        cache_kwargs: object = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store what a layer computed and return all that its queries may look at."""
        if self.reading is not None:
            self._store_prompt(key_states, self.keys_L, layer_idx)
            self._store_prompt(value_states, self.values_L, layer_idx)
            return key_states, value_states
        every = torch.arange(self.rows, device=self.device_)
        keys, values = self.keys_L[layer_idx], self.values_L[layer_idx]
        keys[every, :, self.positions] = key_states[:, :, 0]
        values[every, :, self.positions] = value_states[:, :, 0]
        return keys[:, :, : self.width], values[:, :, : self.width]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Columns in use."""
        return self.width

    def _store_prompt(self, states: torch.Tensor, layers: list[torch.Tensor], layer: int) -> None:
        assert self.reading is not None
        if layer == len(layers):
            layers.append(states.new_zeros((self.rows, states.shape[1], self.capacity, states.shape[3])))
        columns = min(states.shape[2], self.capacity)
        layers[layer][self.reading.start : self.reading.stop, :, :columns] = states[:, :, :columns]

    def select(self, index: torch.Tensor) -> None:
        """Keep the rows of `index`, in its order; a row may be taken more than once."""
        self.reading = None
        self.rows = len(index)
        self.lengths = self.lengths[index]
        self.keys_L = [keys.index_select(0, index) for keys in self.keys_L]
        self.values_L = [values.index_select(0, index) for values in self.values_L]

    def advance(self, minimum: float) -> None:
        """Make room for one token per row at `positions`."""
        self.positions, self.lengths = self.lengths, self.lengths + 1
        self.longest += 1
        self.width = columns_for(self.longest)
        if self.width > self.capacity:
            self.capacity += _GROWTH
            self.keys_L = [_widen(keys, self.capacity) for keys in self.keys_L]
            self.values_L = [_widen(values, self.capacity) for values in self.values_L]
        beyond = torch.arange(self.width, device=self.device_) >= self.lengths[:, None]
        self.mask = torch.zeros((self.rows, self.width), device=self.device_).masked_fill_(beyond, minimum)


def columns_for(length: int) -> int:
    """How many columns attention reads for `length` positions: full sets of `COLUMNS`, and never very few."""
    return max(_FEWEST, -(-length // COLUMNS) * COLUMNS)


def _widen(states: torch.Tensor, capacity: int) -> torch.Tensor:
    wider = states.new_zeros((*states.shape[:2], capacity, states.shape[3]))
    wider[:, :, : states.shape[2]] = states
    return wider
