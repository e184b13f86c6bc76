"""The EB-sampler's bound."""

from __future__ import annotations

from torch import Tensor

from ...checks import ConfigError
from .base import longest_run


class EntropyBound:
    """The surest columns, as long as their entropies less the largest add up to ``bound`` nats at most.

    That sum bounds what the columns' joint distribution can lose by being drawn independently (EB-sampler,
    arXiv 2505.24857, section 3). The first, which is the surest, always passes.

    Args:
        bound: In nats, 0 or more; 0.1 there.
    """

    needs_entropy, needs_probability = True, False

    def __init__(self, bound: float = 0.1):
        if bound < 0:
            raise ConfigError(f"sampler.acceptance.bound={bound}: must be 0 or more, in nats")
        self.bound = bound

    def most_steps(self, steps: int, width: int) -> int:
        return width

    def __call__(self, confidence: Tensor, entropy: Tensor | None, masked: Tensor, left: int) -> Tensor:
        assert entropy is not None  # needs_entropy
        order = confidence.argsort(dim=-1, descending=True, stable=True)
        nats = entropy.masked_fill(~masked, 0.0).gather(-1, order)
        within = nats.cumsum(-1) - nats.cummax(-1).values <= self.bound
        within[:, 0] = True  # by rounding it might not be
        return masked & longest_run(order, within)
