"""Fast-dLLM's threshold."""

from __future__ import annotations

import math

from torch import Tensor

from ...checks import ConfigError
from .base import surest


class Threshold:
    """Every candidate whose probability is at least ``threshold``, and always the surest (arXiv 2505.22618).

    Args:
        threshold: In (0, 1]; 0.9 in the paper.
    """

    needs_entropy, needs_probability = False, True

    def __init__(self, threshold: float = 0.9):
        if not 0 < threshold <= 1:
            raise ConfigError(
                f"sampler.acceptance.threshold={threshold}: must be a probability above 0, up to 1"
            )
        self.threshold = threshold

    def most_steps(self, steps: int, width: int) -> int:
        return width

    def __call__(self, confidence: Tensor, entropy: Tensor | None, masked: Tensor, left: int) -> Tensor:
        return surest(confidence, masked, confidence >= math.log(self.threshold))
