"""Keys and values of a whole canvas, of which a model call renews some columns."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import torch
from torch import Tensor
from transformers import Cache, PreTrainedConfig


@functools.cache
def cache_argument(backbone: type) -> str:
    """Name of the argument by which a backbone takes a cache: transformers gave it another one in 5.24."""
    return "cache" if "cache" in inspect.signature(backbone.forward).parameters else "past_key_values"


class CanvasCache(Cache):
    """Keys and values of R rows and L columns for every layer, at addresses that stay.

    A whole pass (:meth:`renew_all`) fills it. Later passes (:meth:`renew`) run some columns only; their keys
    and values take the places of the old ones, and attention sees all L. What the other columns hold is as
    old as the
    last whole pass: sampling with it is approximate.

    Args:
        layers: Of the network.
        length: L.
    """

    def __init__(self, layers: int, length: int):
        super().__init__(layers=[])
        self.keys: list[Tensor] = [torch.empty(0, dtype=torch.float32, device="cpu")] * layers
        self.values = list(self.keys)
        self.length = length
        self._columns: Tensor | None = None

    def renew_all(self) -> None:
        """Take the next pass for a whole one."""
        self._columns = None

    def renew(self, columns: Tensor) -> None:
        """Take the next pass for one of these ``columns`` [W] int64."""
        self._columns = columns

    def keep(self, rows: Tensor) -> None:
        """Forget all rows but ``rows`` [R'] int64."""
        for tensors in (self.keys, self.values):
            for i, whole in enumerate(tensors):  # one layer at a time, so that no second copy of all is held
                tensors[i] = whole[rows]

    def update(self, key_states: Tensor, value_states: Tensor, layer_idx: int, *_: Any, **__: Any) -> Any:
        """Store a layer's new keys and values [R, heads, W or L, head_dim]; returns those of all columns."""
        new = (self.keys, key_states), (self.values, value_states)
        if self._columns is None:
            for kept, states in new:
                if kept[layer_idx].shape == states.shape:
                    kept[layer_idx].copy_(states)
                else:
                    kept[layer_idx] = states.contiguous().clone()
            return key_states, value_states
        for kept, states in new:
            if not kept[layer_idx].numel():  # zeros, as what nobody sees is multiplied by 0 all the same
                kept[layer_idx] = states.new_zeros(*states.shape[:2], self.length, states.shape[3])
            kept[layer_idx].index_copy_(2, self._columns, states)
        return self.keys[layer_idx], self.values[layer_idx]

    # What transformers asks in order to make masks.
    def get_mask_sizes(self, *_: Any, **__: Any) -> tuple[int, int]:
        return self.length, 0

    def get_query_offset(self, *_: Any, **__: Any) -> int:
        return 0

    def get_seq_length(self, *_: Any, **__: Any) -> int:
        return 0


def bytes_per_column(config: PreTrainedConfig, dtype: torch.dtype) -> int:
    """Bytes that one column of one row takes in all layers."""
    sizes: Any = config
    head_dim = getattr(sizes, "head_dim", None) or sizes.hidden_size // sizes.num_attention_heads
    heads = getattr(sizes, "num_key_value_heads", None) or sizes.num_attention_heads
    return 2 * sizes.num_hidden_layers * heads * head_dim * dtype.itemsize
