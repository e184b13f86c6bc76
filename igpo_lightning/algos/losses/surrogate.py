"""Losses of an importance ratio, with a KL penalty."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from ...checks import choice, not_negative
from .base import LossInputs, Share
from .kl import KINDS, LEVELS
from .ratios import RATIOS
from .reduce import NORMALISATIONS
from .watching import MOST, ratio_metrics


class Surrogate(ABC):
    """-mean [ gain(ρ, A) - β · KL ] over kept tokens and completions.

    Args:
        importance_sampling_level: Whether each "token" has a ratio ρ, each "sequence", or each "step": the
            tokens of a draw together.
        beta: β, weight of the KL term; 0 needs no reference.
        loss_type: The mean: "grpo" (each completion weighs the same), "dapo" (each token of the update)
            or "dr_grpo" (by the width of the canvas).
        filtered_in_ratio: A sequence's ratio is the mean over all of its tokens, those that the token
            filter left out included, as in the published code of IGPO; they then carry gradient through it.
        kl_estimator: "k1", "k2" or "k3".
        kl_to: The "reference", or the policy that sampled, "old" (TraceRL).
        kl_level: "token", "step", or "sequence": of the difference of ELBOs (ESPO).
        combine_draws: Add up a token's log-probs of all draws, by their weights, before the ratio and the KL
            are taken (coupled-GRPO); otherwise each draw has its own.
    """

    def __init__(
        self,
        importance_sampling_level: str = "token",
        beta: float = 0.01,
        loss_type: str = "grpo",
        filtered_in_ratio: bool = False,
        kl_estimator: str = "k3",
        kl_to: str = "reference",
        kl_level: str = "token",
        combine_draws: bool = False,
    ):
        self.ratio = RATIOS[choice("algo.loss.importance_sampling_level", importance_sampling_level, *RATIOS)]
        self.mean = NORMALISATIONS[choice("algo.loss.loss_type", loss_type, *NORMALISATIONS)]
        self.beta, self.filtered_in_ratio = not_negative("algo.loss.beta", beta), filtered_in_ratio
        self.kl_estimator = choice("algo.loss.kl_estimator", kl_estimator, *KINDS)
        self.kl_to = choice("algo.loss.kl_to", kl_to, "reference", "old")
        self.kl_level = LEVELS[choice("algo.loss.kl_level", kl_level, *LEVELS)]
        self.combine_draws = combine_draws

    @property
    def needs_reference(self) -> bool:
        return self.beta > 0 and self.kl_to == "reference"

    @abstractmethod
    def gain(self, ratio: Tensor, advantage: Tensor) -> Tensor:
        """The gain, of [P, G, D or 1, C or 1] ratios and advantages."""

    def clipped(self, ratio: Tensor, advantage: Tensor) -> tuple[Tensor, Tensor]:
        """Masks of ratios below and above the range, on the side that the advantage clips."""
        nowhere = torch.zeros_like(ratio, dtype=torch.bool)
        return nowhere, nowhere

    def ratios(self, difference: Tensor, within: Tensor, advantage: Tensor, weight: Tensor | None) -> Tensor:
        """The ratios of ``difference`` = log p - log p_old, [P, G, D, C], 0 outside ``within``."""
        return self.ratio(difference, within, weight)

    def __call__(self, x: LossInputs) -> tuple[Tensor, dict[str, Tensor | Share]]:
        x = x.combined() if self.combine_draws else x
        mask = x.mask
        within = x.unfiltered if self.filtered_in_ratio else mask
        # Replaced before exp: a masked token's difference may be anything, and inf * 0 is NaN.
        difference = (x.logps - x.old).masked_fill(~within, 0.0).clamp(-MOST, MOST)
        advantage = x.advantages.reshape(*x.advantages.shape[:2], 1, -1)  # [P, G, 1, 1 or C]
        ratio = self.ratios(difference, within, advantage, x.weight)
        loss = -self.mean(self.gain(ratio, advantage).expand_as(mask), x)
        metrics = ratio_metrics(x, ratio, *self.clipped(ratio, advantage))
        if self.beta > 0:
            other = x.reference if self.kl_to == "reference" else x.old
            kl = self.mean(
                self.kl_level(self.kl_estimator, x.logps, other, mask, x.weight).expand_as(mask), x
            )
            loss = loss + self.beta * kl
            metrics["kl"] = kl.detach()
        return loss, metrics
