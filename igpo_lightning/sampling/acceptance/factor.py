"""Fast-dLLM's factor."""

from __future__ import annotations

import torch
from torch import Tensor

from ...checks import ConfigError
from .base import longest_run, surest


class Factor:
    """The n surest candidates, as many as keep (n + 1)(1 - probability of the n-th) within ``factor``.

    The more tokens are written at once, the surer each must be (arXiv 2505.22618, theorem 1 and section 3.3).
    The surest is always written.

    Args:
        factor: Above 0; 1 in the paper's code.
    """

    needs_entropy, needs_probability = False, True

    def __init__(self, factor: float = 1.0):
        if factor <= 0:
            raise ConfigError(f"sampler.acceptance.factor={factor}: must be above 0")
        self.factor = factor

    def most_steps(self, steps: int, width: int) -> int:
        return width

    def __call__(self, confidence: Tensor, entropy: Tensor | None, masked: Tensor, left: int) -> Tensor:
        sure, order = confidence.sort(dim=-1, descending=True, stable=True)
        count = torch.arange(1, sure.shape[-1] + 1, dtype=sure.dtype, device=sure.device)
        within = -(count + 1) * sure.expm1() <= self.factor
        return surest(confidence, masked, longest_run(order, within))
