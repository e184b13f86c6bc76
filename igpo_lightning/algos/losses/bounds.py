"""Lower and upper bounds of a completion's log-likelihood per token, from masked draws."""

from __future__ import annotations

import torch
from torch import Tensor

from .reduce import sum_over_tokens


def elbo(logps: Tensor, mask: Tensor, weight: Tensor | None) -> Tensor:
    """[P, G]: the sum over draws and tokens of weight · log p: an estimate of the whole ELBO, in nats.

    The weights of an estimator with weights sum up to the number of tokens, on average.
    """
    return sum_over_tokens(logps if weight is None else logps * weight, mask)


def elbo_per_token(logps: Tensor, mask: Tensor) -> Tensor:
    """[P, G]: mean over a draw's scored tokens, then over the draws that score any."""
    kept = mask.sum(-1)  # [P, G, D]
    each = logps.masked_fill(~mask, 0.0).sum(-1) / kept.clamp(min=1)
    return each.sum(-1) / (kept > 0).sum(-1).clamp(min=1)


def eubo_per_token(logps: Tensor, mask: Tensor, weight: Tensor | None, power: float) -> Tensor:
    """[P, G]: (1/b) · mean over tokens of log Σ_draws weight · p^b, b = ``power`` (SPG, arXiv 2510.09541).

    The sum over draws is inside the logarithm. Tokens that no draw scores are left out, as in SPG's code.
    """
    terms = logps * power if weight is None else logps * power + weight.clamp(min=1e-30).log()
    # Finite, so that a token that is masked in no draw has a gradient of 0 and not NaN.
    total = terms.masked_fill(~mask, -1e4).logsumexp(2)  # [P, G, C]
    scored = mask.any(2)
    return total.masked_fill(~scored, 0.0).sum(-1) / scored.sum(-1).clamp(min=1) / power


def length(mask: Tensor, weight: Tensor | None) -> Tensor:
    """[P, G] float32: a completion's tokens, as the weights count them; without weights the scored ones."""
    if weight is None:
        return mask.any(2).sum(-1).float()
    return torch.where(mask, weight, 0.0).sum((2, 3))
