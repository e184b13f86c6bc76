"""Classifier-free guidance: away from what the model would write without having read what was given."""

from __future__ import annotations

import torch
from torch import Tensor

from .session import Scorer, Session


class GuidedSession(Session):
    """Logits u + (1 + scale) (c - u), u those of a canvas whose given tokens are masked (LLaDA, appendix A).

    Two rows run for each one.

    Args:
        policy, canvas, attention: As of :class:`Session`. What is given is what the canvas holds at the
            start.
        scale: 0 is no guidance.
    """

    def __init__(self, policy: Scorer, canvas: Tensor, attention: Tensor | None, scale: float):
        super().__init__(policy, canvas, attention)
        self.scale = scale
        self._given = canvas != policy.mask_id

    def _logits(self, rows: Tensor, at: Tensor) -> Tensor:
        canvas = self.canvas[rows]
        both = torch.cat([canvas, canvas.masked_fill(self._given[rows], self.policy.mask_id)])
        positions = torch.zeros_like(both, dtype=torch.bool)
        positions[:, self.columns] = at.repeat(2, 1)
        self.token_forwards += both.numel()
        attention = None if self.attention is None else self.attention[rows].repeat(2, 1)
        with_it, without = self.policy(both, attention, positions).float().chunk(2)
        return without + (1.0 + self.scale) * (with_it - without)
