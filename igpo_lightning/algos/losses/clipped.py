"""The clipped surrogate with a KL penalty (PPO, arXiv 1707.06347; GRPO, arXiv 2402.03300, eq. 3)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ...checks import ConfigError, choice
from .base import LossInputs, Share
from .reduce import NORMALISATIONS, mean_over_tokens
from .watching import MOST, ratio_metrics


def token_ratio(difference: Tensor, mask: Tensor, weight: Tensor | None) -> Tensor:
    """GRPO: each token has its own ratio exp(log p - log p_old). [P, G, D, C]."""
    return difference.exp()


def sequence_ratio(difference: Tensor, mask: Tensor, weight: Tensor | None) -> Tensor:
    """One ratio a completion: exp(mean over kept tokens of log p - log p_old), as GSPO
    (arXiv 2507.18071, eq. 7) and IGPO (section 4.1) have it. [P, G, 1, 1]."""
    return mean_over_tokens(difference, mask, weight)[:, :, None, None].exp()


RATIOS: dict[str, Callable[[Tensor, Tensor, Tensor | None], Tensor]] = {
    "token": token_ratio, "sequence": sequence_ratio,
}  # fmt: skip


class ClippedSurrogate:
    """-mean [ min(ρ A, clip(ρ, 1-ε, 1+ε) A) - β · KL ] over kept tokens and completions.

    Args:
        importance_sampling_level: Whether each "token" has a ratio ρ, or each "sequence".
        epsilon: ε below 1 and, unless ``epsilon_high`` is given, above.
        epsilon_high: ε above 1 (clip-higher).
        beta: β, weight of the k3 estimate of KL(policy || reference) per token
            (http://joschu.net/blog/kl-approx.html); 0 needs no reference.
        loss_type: The mean: "grpo" (each completion weighs the same), "dapo" (each token of the update)
            or "dr_grpo" (by the width of the canvas).
        filtered_in_ratio: A sequence's ratio is the mean over all of its tokens, those that the token
            filter left out included, as in the published code of IGPO; they then carry gradient through it.
    """

    def __init__(
        self,
        importance_sampling_level: str = "token",
        epsilon: float = 0.2,
        epsilon_high: float | None = None,
        beta: float = 0.01,
        loss_type: str = "grpo",
        filtered_in_ratio: bool = False,
    ):
        if epsilon < 0 or (epsilon_high or 0) < 0 or beta < 0:
            raise ConfigError(
                f"algo.loss: epsilon {epsilon}, epsilon_high {epsilon_high} and beta {beta} "
                "must not be negative"
            )
        self.ratio = RATIOS[choice("algo.loss.importance_sampling_level", importance_sampling_level, *RATIOS)]
        self.mean = NORMALISATIONS[choice("algo.loss.loss_type", loss_type, *NORMALISATIONS)]
        self.low, self.high = 1 - epsilon, 1 + (epsilon if epsilon_high is None else epsilon_high)
        self.beta, self.filtered_in_ratio = beta, filtered_in_ratio

    @property
    def needs_reference(self) -> bool:
        return self.beta > 0

    def __call__(self, x: LossInputs) -> tuple[Tensor, dict[str, Tensor | Share]]:
        mask = x.mask
        within = x.unfiltered if self.filtered_in_ratio else mask
        # Replaced before exp: a masked token's difference may be anything, and inf * 0 is NaN.
        difference = (x.logps - x.old).masked_fill(~within, 0.0).clamp(-MOST, MOST)
        ratio = self.ratio(difference, within, x.weight)
        advantage = x.advantages.reshape(*x.advantages.shape[:2], 1, -1)  # [P, G, 1, 1 or C]
        clipped = ratio.clamp(self.low, self.high)
        gain = self.mean(torch.min(ratio * advantage, clipped * advantage).expand_as(mask), x)
        low, high = (ratio < self.low) & (advantage < 0), (ratio > self.high) & (advantage > 0)
        metrics = ratio_metrics(x, ratio, low, high)
        loss = -gain
        if self.beta > 0:
            kl = self.mean(k3(x.logps, x.ref, mask), x)
            loss = loss + self.beta * kl
            metrics["kl"] = kl.detach()
        return loss, metrics


def k3(logps: Tensor, ref: Tensor, mask: Tensor) -> Tensor:
    """Unbiased, non-negative estimate of KL(policy || reference) per sampled token."""
    difference = (ref - logps).masked_fill(~mask, 0.0).clamp(-MOST, MOST)
    return difference.exp() - difference - 1
