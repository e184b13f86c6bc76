"""Sampling from a block-causal policy: what is written stays as it is, and so do its keys and values."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .cached_session import FEWER, CachedSession


class BlockSession(CachedSession):
    """Exact: a finished block sees nothing that may still change, so its keys and values are final.

    A block's first call runs it together with the block before it, which is final by then, or with the
    prompt; further calls run the block alone. Columns right of it never run before their time.

    Args:
        policy: Of attention :class:`~igpo_lightning.models.attention.BlockCausal`, whose blocks are the
            sampler's.
        canvas, attention: As of :class:`~igpo_lightning.models.session.Session`.
    """

    def __init__(self, policy: Any, canvas: Tensor, attention: Tensor | None = None):
        super().__init__(policy, canvas, attention)
        self._final = 0  # columns whose keys and values are
        self._done = torch.zeros(len(canvas), dtype=torch.bool, device=canvas.device)

    def _logits(self, rows: Tensor, at: Tensor) -> Tensor:
        stop, width = self.columns.stop, self.columns.stop - self.columns.start
        columns = torch.arange(self._final, stop, dtype=torch.long, device=self.canvas.device)
        attention = None if self.attention is None else self.attention[self._rows]
        mask = self.policy.attention.mask(attention, self.canvas.shape[1], self.canvas.device, columns)
        tokens, positions = self.canvas[self._rows][:, columns], self._positions[self._rows][:, columns]
        self._cache.renew(columns)
        hidden = self.policy.hidden(tokens, mask, positions, self._cache)
        self._final = self.columns.start
        self.token_forwards += tokens.numel()
        return self.policy.network.lm_head(self._of_block(hidden[:, -width:], rows)[at])

    def fill_rest(self, rows: Tensor, token: int) -> None:
        super().fill_rest(rows, token)
        self._done[rows] = True
        going = ~self._done[self._rows]
        if 0 < int(going.sum()) <= FEWER * len(self._rows):
            self._cache.keep(going.nonzero()[:, 0])
            self._rows = self._rows[going]
