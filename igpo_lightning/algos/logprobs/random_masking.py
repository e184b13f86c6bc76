"""Random masks, and coupled ones."""

from __future__ import annotations

from torch import Tensor

from ...seeding import torch_rng
from .masked import Masked, uniform


class RandomMasking(Masked):
    """Mask each token with probability t ~ U(0, 1); with ``coupled``, then mask the complement.

    The coupled pair scores every token exactly once, which lowers the variance (coupled-GRPO,
    arXiv 2506.20639, section 4.2) for twice the compute.
    """

    def __init__(self, coupled: bool = True):
        self.coupled = coupled

    def count(self, width: int) -> int:
        return 2 if self.coupled else 1

    def canvases(self, width: int, seed: int, iteration: int, g: int) -> list[tuple[Tensor, Tensor]]:
        rng = torch_rng(seed, "mask", iteration, g)
        masked = uniform(width, rng) < uniform(1, rng)
        return [(masked, masked), (~masked, ~masked)] if self.coupled else [(masked, masked)]
