"""Choice of the tokens that carry gradient: (loss_mask, hint_mask, entropy) → mask, all [..., C]."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..checks import fraction


@dataclass(frozen=True)
class AllTokens:
    """Every token of the completion, hints included."""

    def __call__(self, loss_mask: Tensor, hint_mask: Tensor, entropy: Tensor) -> Tensor:
        return loss_mask


@dataclass(frozen=True)
class TopEntropyHints:
    """Of each completion's n hint tokens only the ⌈τ · n⌉ of highest entropy (IGPO, section 3.3).

    Hints are off-policy. Where the policy is already sure of something else, learning them means a
    large step; where it is unsure, they teach. The others are dropped entirely: no gradient, no share
    in a sequence ratio's mean. The model's own tokens always stay.

    Args:
        top_entropy_quantile: τ in [0, 1]; the paper's is 0.2. 0 drops every hint, 1 keeps them all.
    """

    top_entropy_quantile: float = 0.2

    def __post_init__(self) -> None:
        fraction("algo.token_filter.top_entropy_quantile", self.top_entropy_quantile)

    def __call__(self, loss_mask: Tensor, hint_mask: Tensor, entropy: Tensor) -> Tensor:
        hints = loss_mask & hint_mask
        keys = entropy.masked_fill(~hints, -torch.inf)
        rank = keys.argsort(dim=-1, descending=True, stable=True).argsort(dim=-1)
        counts = hints.sum(-1, keepdim=True)
        # Rounded first: 0.28 * 25 is 7.000000000000001, and its ceiling would be 8.
        quota = [math.ceil(round(self.top_entropy_quantile * n, 9)) for n in counts.flatten().tolist()]
        allowed = torch.tensor(quota, dtype=torch.long, device=rank.device).view_as(counts)
        return loss_mask & (~hint_mask | (rank < allowed))
