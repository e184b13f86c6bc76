"""Metrics that any policy loss has: how far the policy is from the one that sampled."""

from __future__ import annotations

import torch
from torch import Tensor

from .base import LossInputs, Share

MOST = 20.0  # nats: beyond it a ratio is e^20 and says only that something is wrong, but stays finite


@torch.no_grad()
def policy_metrics(x: LossInputs) -> dict[str, Tensor | Share]:
    """``kl_old``: the k3 estimate (http://joschu.net/blog/kl-approx.html) of KL(sampling policy || policy)
    per kept token, whose draws the tokens are (hints excepted)."""
    away = (x.logps - x.old).masked_fill(~x.mask, 0.0).clamp(-MOST, MOST)
    return {"kl_old": Share((away.exp() - 1 - away).sum(), x.mask.sum())}


@torch.no_grad()
def ratio_metrics(x: LossInputs, ratio: Tensor, low: Tensor, high: Tensor) -> dict[str, Tensor | Share]:
    """Ratios of kept tokens, and which of them lie outside the clipping range.

    Args:
        x: The loss's inputs.
        ratio: [P, G, D, C], or [P, G, 1, 1] of whole sequences.
        low, high: Bool, where the ratio is below or above the range on the side that the advantage clips.
    """
    ratio, low, high = (value.expand_as(x.mask) for value in (ratio, low, high))
    kept, outside = x.mask.sum(), (low | high) & x.mask
    metrics: dict[str, Tensor | Share] = {
        "ratio_max": ratio.masked_fill(~x.mask, 1.0).amax(),
        "ratio_min": ratio.masked_fill(~x.mask, 1.0).amin(),
        "ratio_mean": Share(ratio.masked_fill(~x.mask, 0.0).sum(), kept),
        "clip_fraction": outside.sum().float() / kept.clamp(min=1),
        "clip_ratio/low_mean": Share((low & x.mask).sum(), kept),
        "clip_ratio/high_mean": Share((high & x.mask).sum(), kept),
        "kept_tokens": x.mask.any(2).sum().float() / x.mask.shape[:2].numel(),
    }
    if x.hint_mask is not None:
        metrics["clip_ratio/hints"] = Share((outside & x.hint_mask).sum(), (x.mask & x.hint_mask).sum())
    return metrics
