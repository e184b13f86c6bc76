"""The exact likelihood of left-to-right decoding (JustGRPO, arXiv 2601.15165)."""

from __future__ import annotations

import torch

from ...checks import positive_int
from ...types import Rollout
from .base import Draw


class LeftToRight:
    """Read each token with all before it visible and all from it on masked: C draws of P·G rows.

    The sum of the log-probs is the completion's exact log-likelihood under a sampler that writes one token
    after another (``sampler.block_length=1 sampler.steps=${sampler.length}``). Under any other sampler it is
    that of another order. Hints are read like all other tokens.

    Args:
        columns: Neighbouring tokens that are read together; 1 is exact, more are an approximation.
    """

    renewed = False
    within = 0  # whatever the blocks are

    def __init__(self, columns: int = 1):
        self.columns = positive_int("algo.logprobs.columns", columns)

    def count(self, width: int) -> int:
        return -(-width // self.columns)

    def draws(self, rollout: Rollout, iteration: int) -> list[Draw]:
        prompts, group, width = rollout.tokens.shape
        column = torch.arange(width, dtype=torch.long, device=rollout.tokens.device)
        draws = []
        for first in range(0, width, self.columns):
            canvases = group if first else 1  # before the first token all completions look the same
            after, here = column >= first, column < first + self.columns
            shape = (prompts, canvases, width)
            draws.append(Draw(after.expand(shape), (after & here).expand(shape)))
        return draws
