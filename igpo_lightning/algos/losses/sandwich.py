"""REINFORCE on bounds of the likelihood (SPG, arXiv 2510.09541), self-normalised or not (StableDRL)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...checks import ConfigError, fraction, positive
from .base import LossInputs
from .bounds import elbo_per_token, eubo_per_token, length


class Sandwich:
    """-Σ A_i L_i |o_i| / Σ |o_i|: no ratio, no reference.

    L_i is the ELBO per token where A_i > 0. Where A_i <= 0 likelihood goes down, and pushing down a lower
    bound says nothing: there L_i = ω EUBO + (1 - ω) ELBO, per token. |o| is the completion's length; the sums
    are over a group, and the loss is the mean over groups (in the published code a batch holds one).

    With ``weight_clip`` c the loss is -Σ w_i A_i L_i instead, w the softmax over the group of
    min(ELBO - ELBO_old, log c), without gradient: an importance weight whose noise cannot grow
    (StableDRL's code, which takes ELBO_old in other draws; here both are of the same).

    Args:
        mix: ω; 0 is REINFORCE with the ELBO alone.
        power: b of the EUBO, above 0; the paper's are 1 to 2.
        weight_clip: c, above 1; None: no weights.
    """

    needs_reference = False
    takes_token_advantages = False

    def __init__(self, mix: float = 0.5, power: float = 1.5, weight_clip: float | None = None):
        self.mix, self.power = fraction("algo.loss.mix", mix), positive("algo.loss.power", power)
        if weight_clip is not None and weight_clip <= 1:
            raise ConfigError(f"algo.loss.weight_clip={weight_clip}: expected a number above 1, or null")
        self.weight_clip = weight_clip

    def __call__(self, x: LossInputs) -> tuple[Tensor, dict[str, Tensor]]:
        advantages = x.per_completion()
        lower = elbo_per_token(x.logps, x.mask)
        upper = lower
        if self.mix > 0:
            upper = eubo_per_token(x.logps, x.mask, x.weight, self.power)
        bound = torch.where(advantages > 0, lower, self.mix * upper + (1 - self.mix) * lower)
        metrics = {"elbo": lower.detach().mean(), "bounds_apart": (upper - lower).detach().mean()}
        if self.weight_clip is not None:
            moved = (lower - elbo_per_token(x.old, x.mask)).detach()
            weights = moved.clamp(max=math.log(self.weight_clip)).softmax(1)
            metrics["weight_max"] = weights.amax()
            return -(weights * advantages * bound).sum(1).mean(), metrics
        tokens = length(x.mask, x.weight)
        each = (advantages * bound * tokens).sum(1) / tokens.sum(1).clamp(min=1)
        return -each.mean(), metrics
