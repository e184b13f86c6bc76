"""A bound of the ratio that is additive over draws (BGPO, arXiv 2510.11683)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .clipped import ClippedSurrogate


class LinearBound(ClippedSurrogate):
    """The clipped surrogate of each draw's own ratio: 1 + Δ where A > 0, exp(Δ) where A <= 0.

    Δ [P, G, D, 1] is the draw's estimate of (ELBO - ELBO_old) / tokens. Both bound the objective of the ratio
    exp(mean over draws of Δ) from below: 1 + x <= e^x, and the mean of exponentials is at least the
    exponential of the mean. The loss is a mean over draws, so that each draw can have its own backward pass
    (``algo.draws_per_micro_batch``) without any other being known.

    The published code (DARE) computes 1 + Δ as exp(log(1 + Δ)), which is NaN for Δ < -1; here it is 1 + Δ.
    It keeps ε = 0.2 and the dual clip at 3 of its base, verl.

    Args:
        dual_clip, options: See :class:`~igpo_lightning.algos.losses.clipped.ClippedSurrogate`.
    """

    def __init__(self, dual_clip: float | None = 3.0, **options: Any):
        super().__init__(dual_clip=dual_clip, **options)

    def ratios(self, difference: Tensor, within: Tensor, advantage: Tensor, weight: Tensor | None) -> Tensor:
        # All scored tokens of a draw have one weight, which cancels within it.
        draw = difference.sum(-1, keepdim=True) / within.sum(-1, keepdim=True).clamp(min=1)
        return torch.where(advantage > 0, 1 + draw, draw.exp())
