"""A canvas under denoising: the one way in which a sampler sees the policy."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


class Scorer(Protocol):
    """The part of a policy that a session needs."""

    mask_id: int

    def __call__(self, tokens: Tensor, attention: Tensor | None, positions: Tensor) -> Tensor: ...


class Session:
    """Hands out the logits of a block's empty columns, and writes what was drawn.

    Exact: every call runs the whole canvas of the rows that are asked for.

    Args:
        policy: Gives logits.
        canvas: [B, L] ids: left-padded prompts, then masks and hints. It is copied.
        attention: [B, L] bool, False on padding, or None when nothing is padded.

    Attributes:
        canvas: [B, L] int64, as far as it has been filled.
        step_map: [B, L] int32, the step that wrote each token; -1 where it was given or is empty.
        notes: Name → [B, L] float32, what was said of each token when it was written; 0 elsewhere.
        forwards, row_forwards, token_forwards: Model calls so far; rows, and columns that ran, summed over
            them.
    """

    def __init__(self, policy: Scorer, canvas: Tensor, attention: Tensor | None = None):
        self.policy, self.canvas, self.attention = policy, canvas.clone(), attention
        self.step_map = torch.full_like(canvas, -1, dtype=torch.int32)
        self.notes: dict[str, Tensor] = {}
        self.columns = slice(0, 0)
        self.forwards = self.row_forwards = self.token_forwards = 0

    def open(self, left: int, width: int) -> None:
        """Begin the block of columns [left, left + width)."""
        self.columns = slice(left, left + width)

    def block(self, rows: Tensor) -> Tensor:
        """[R, width] ids of the open block in these rows."""
        return self.canvas[rows, self.columns]

    def masked(self, rows: Tensor) -> Tensor:
        """[R, width] bool: columns of the open block that are still empty."""
        return self.block(rows) == self.policy.mask_id

    def logits(self, rows: Tensor, at: Tensor) -> Tensor:
        """[N, V] float32 logits of the N columns ``at`` [R, width] bool in rows ``rows`` [R], row by row.

        The mask token's are -inf: it is not a token that a canvas could be filled with.
        """
        self.forwards += 1
        self.row_forwards += len(rows)
        logits = self._logits(rows, at).float()
        logits[:, self.policy.mask_id] = -torch.inf
        return logits

    def _logits(self, rows: Tensor, at: Tensor) -> Tensor:
        canvas = self.canvas[rows]
        positions = torch.zeros_like(canvas, dtype=torch.bool)
        positions[:, self.columns] = at
        self.token_forwards += canvas.numel()
        return self.policy(canvas, None if self.attention is None else self.attention[rows], positions)

    def commit(self, rows: Tensor, at: Tensor, ids: Tensor, step: int, **notes: Tensor) -> None:
        """Write ``ids`` [R, width] where ``at`` [R, width] bool, as drawn at denoising step ``step``.

        ``notes`` [R, width] are numbers of these tokens that are to be remembered.
        """
        for name, values in notes.items():
            kept = self.note(name)
            kept[rows, self.columns] = torch.where(at, values.float(), kept[rows, self.columns])
        self.canvas[rows, self.columns] = torch.where(at, ids, self.block(rows))
        steps = self.step_map[rows, self.columns]
        self.step_map[rows, self.columns] = steps.masked_fill(at, step)

    def note(self, name: str) -> Tensor:
        """[B, L] float32, what has been said by this name."""
        if name not in self.notes:
            self.notes[name] = torch.zeros_like(self.canvas, dtype=torch.float32)
        return self.notes[name]

    def fill_rest(self, rows: Tensor, token: int) -> None:
        """Write ``token`` into all that is empty right of the open block, as never drawn."""
        rest = self.canvas[rows, self.columns.stop :]
        empty = rest == self.policy.mask_id
        self.canvas[rows, self.columns.stop :] = rest.masked_fill(empty, token)

    def idle(self) -> None:
        """Make a model call whose result nobody needs, because other processes are making one."""
        attention = None if self.attention is None else self.attention[:1]
        self.policy(self.canvas[:1], attention, torch.ones_like(self.canvas[:1], dtype=torch.bool))
        self.forwards += 1
