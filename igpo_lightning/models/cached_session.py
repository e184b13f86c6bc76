"""Sampling with keys and values kept: after a block's first call only the block, or all from it on, runs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..checks import ConfigError
from .graphs import Graphed
from .kv_cache import CanvasCache, bytes_per_column
from .policy import positions_of
from .session import Session

CACHES = ("none", "prefix", "dual", "blocks")
# Of the cached rows: when so few are left, the others are dropped. A copy costs about a tenth of a call.
FEWER = 0.75
_SPARE = 0.9  # of the free memory


class CachedSession(Session):
    """Approximate: columns outside the ones that run keep the keys and values of the last whole pass.

    Args:
        policy: As of :class:`Session`; its network is called directly, so its weights must not be sharded.
        canvas, attention: As there.
        cache: "prefix" runs the block and what is right of it, "dual" the block alone (Fast-dLLM, arXiv
            2505.22618).
        refresh_every: Calls from one whole pass to the next within a block; None makes one as it opens. 1 is
            exact.
        graphs: Whether calls of the block are recorded as a CUDA graph; worth it for few rows.
    """

    def __init__(
        self,
        policy: Any,
        canvas: Tensor,
        attention: Tensor | None = None,
        *,
        cache: str = "dual",
        refresh_every: int | None = None,
        graphs: bool = False,
    ):
        super().__init__(policy, canvas, attention)
        self.policy: Any = policy  # more of it is needed than of a Scorer
        self.to_the_end, self.refresh_every, self.graphs = cache == "prefix", refresh_every, graphs
        self._check_memory()
        self._cache = CanvasCache(len(policy.network.model.layers), canvas.shape[1])
        self._rows = torch.arange(len(canvas), dtype=torch.long, device=canvas.device)
        self._calls = 0  # since the last whole pass
        self._recorded: dict[int, Graphed] = {}  # by the number of columns that run
        real = torch.ones_like(canvas, dtype=torch.bool) if attention is None else attention
        self._positions = positions_of(real)

    def open(self, left: int, width: int) -> None:
        super().open(left, width)
        self._calls = 0

    def _logits(self, rows: Tensor, at: Tensor) -> Tensor:
        if self._calls == 0 or (self.refresh_every is not None and self._calls >= self.refresh_every):
            hidden = self._whole(rows)
        else:
            hidden = self._block(rows)
        self._calls += 1
        return self.policy.network.lm_head(hidden[at])

    def _whole(self, rows: Tensor) -> Tensor:
        """[R, width, H] of the block, by a pass over all columns that fills the cache."""
        self._calls = 0
        if self.graphs:  # whose addresses, and so whose rows, stay
            rows_run = self._rows
        else:
            rows_run = self._rows = rows
        self._cache.renew_all()
        attention = None if self.attention is None else self.attention[rows_run]
        hidden = self.policy.hidden(self.canvas[rows_run], attention, self._positions[rows_run], self._cache)
        self.token_forwards += hidden.shape[0] * hidden.shape[1]
        return self._of_block(hidden[:, self._first :], rows)

    def _block(self, rows: Tensor) -> Tensor:
        """The same by a pass over the columns that run."""
        if not self.graphs and len(rows) <= FEWER * len(self._rows):
            self._cache.keep(torch.searchsorted(self._rows, rows))
            self._rows = rows
        stop = self.canvas.shape[1] if self.to_the_end else self.columns.stop
        columns = torch.arange(self._first, stop, dtype=torch.long, device=self.canvas.device)
        mask = None if self.attention is None else self.attention[self._rows][:, None, None]
        tokens, positions = self.canvas[self._rows][:, columns], self._positions[self._rows][:, columns]
        hidden = self._run(columns, tokens, positions, mask)
        self.token_forwards += tokens.numel()
        return self._of_block(hidden, rows)

    def _run(self, columns: Tensor, tokens: Tensor, positions: Tensor, mask: Tensor | None) -> Tensor:
        def call(columns: Tensor, tokens: Tensor, positions: Tensor, *mask: Tensor) -> Tensor:
            self._cache.renew(columns)
            return self.policy.hidden(tokens, mask[0] if mask else None, positions, self._cache)

        inputs = (columns, tokens, positions, *(() if mask is None else (mask,)))
        if not self.graphs:
            return call(*inputs)
        if len(columns) not in self._recorded:
            self._recorded[len(columns)] = Graphed(call)
        return self._recorded[len(columns)](*inputs)

    @property
    def _first(self) -> int:
        """First column that runs: a shifted model reads a token at its left neighbour."""
        return max(0, self.columns.start - self.policy.shifted)

    def _of_block(self, hidden: Tensor, rows: Tensor) -> Tensor:
        """[R, width, H] of the block's columns, from those that ran of the cached rows."""
        if len(rows) < len(hidden):
            hidden = hidden[torch.searchsorted(self._rows, rows)]
        return hidden[:, : self.columns.stop - self.columns.start]

    def _check_memory(self) -> None:
        device = self.canvas.device
        if device.type != "cuda":
            return
        autocast = torch.is_autocast_enabled("cuda")
        dtype = torch.get_autocast_dtype("cuda") if autocast else self.policy.network.dtype
        rows, length = self.canvas.shape
        row = bytes_per_column(self.policy.network.config, dtype) * length
        free = torch.cuda.mem_get_info(device)[0]
        free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        if rows * row > _SPARE * free:
            raise CacheTooLarge(
                f"sampler.cache: keys and values of {rows} rows of {length} columns take "
                f"{rows * row / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free: set "
                f"algo.rows_per_forward to {max(1, int(_SPARE * free / row))} or less"
            )


class CacheTooLarge(ConfigError, torch.OutOfMemoryError):
    """Fewer rows would fit."""
