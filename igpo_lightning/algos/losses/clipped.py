"""The clipped surrogate with a KL penalty (PPO, arXiv 1707.06347; GRPO, arXiv 2402.03300, eq. 3)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ...checks import ConfigError
from ...types import LossInputs
from .reduce import mean_over_tokens


def token_ratio(difference: Tensor, mask: Tensor) -> Tensor:
    """GRPO: each token has its own ratio exp(log p - log p_old). [P, G, C]."""
    return difference.exp()


def sequence_ratio(difference: Tensor, mask: Tensor) -> Tensor:
    """One ratio a completion: exp(mean over kept tokens of log p - log p_old), as GSPO
    (arXiv 2507.18071, eq. 7) and IGPO (section 4.1) have it. [P, G, 1]."""
    return mean_over_tokens(difference, mask).unsqueeze(-1).exp()


RATIOS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"token": token_ratio, "sequence": sequence_ratio}


class ClippedSurrogate:
    """-mean_i [ mean_t min(ρ A, clip(ρ, 1-ε, 1+ε) A) - β · mean_t KL ], means over kept tokens.

    Completions weigh the same whatever their length, so N micro-batches of equal size equal one.

    Args:
        ratio: "token" or "sequence".
        clip: ε below 1 and, unless ``clip_high`` is given, above.
        clip_high: ε above 1 (clip-higher).
        kl: β, weight of the k3 estimate of KL(policy || reference) per token
            (http://joschu.net/blog/kl-approx.html); 0 needs no reference.
        filtered_in_ratio: A sequence's ratio is the mean over all of its tokens, those that the token
            filter left out included, as in the published code of IGPO; they then carry gradient through it.
    """

    def __init__(
        self,
        ratio: str = "token",
        clip: float = 0.2,
        clip_high: float | None = None,
        kl: float = 0.01,
        filtered_in_ratio: bool = False,
    ):
        if ratio not in RATIOS:
            raise ConfigError(f"algo.loss.ratio: {ratio!r} is not one of {', '.join(RATIOS)}")
        if clip < 0 or (clip_high or 0) < 0 or kl < 0:
            raise ConfigError(
                f"algo.loss: clip {clip}, clip_high {clip_high} and kl {kl} must not be negative"
            )
        self.ratio = RATIOS[ratio]
        self.low, self.high = 1 - clip, 1 + (clip if clip_high is None else clip_high)
        self.kl, self.filtered_in_ratio = kl, filtered_in_ratio

    @property
    def needs_reference(self) -> bool:
        return self.kl > 0

    def __call__(self, inputs: LossInputs) -> tuple[Tensor, dict[str, Tensor]]:
        mask = inputs.mask
        within = inputs.unfiltered if self.filtered_in_ratio else mask
        # Replace before exp: a masked token's difference may be anything, and inf * 0 is NaN.
        difference = (inputs.logps - inputs.old_logps).masked_fill(~within, 0.0)
        ratio = self.ratio(difference, within)
        advantage = inputs.advantages.unsqueeze(-1)
        clipped = ratio.clamp(self.low, self.high)
        gain = mean_over_tokens(torch.min(ratio * advantage, clipped * advantage).expand_as(mask), mask)
        loss = -gain.mean()
        outside = ((ratio < self.low) & (advantage < 0)) | ((ratio > self.high) & (advantage > 0))
        kept = mask.sum().clamp(min=1)
        metrics = {
            "ratio_max": ratio.detach().expand_as(mask).masked_fill(~mask, 1.0).amax(),
            "clip_fraction": (outside.expand_as(mask) & mask).sum() / kept,
            "kept_tokens": mask.sum().float() / mask.shape[:2].numel(),
        }
        if self.kl > 0:
            kl = mean_over_tokens(k3(inputs.logps, inputs.ref_logps, mask), mask).mean()
            loss = loss + self.kl * kl
            metrics["kl"] = kl.detach()
        return loss, metrics


def k3(logps: Tensor, ref_logps: Tensor, mask: Tensor) -> Tensor:
    """Unbiased, non-negative estimate of KL(policy || reference) per sampled token."""
    difference = (ref_logps - logps).masked_fill(~mask, 0.0)
    return difference.exp() - difference - 1
