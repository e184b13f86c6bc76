"""The clipped surrogate with a KL penalty (PPO, arXiv 1707.06347; GRPO, arXiv 2402.03300, eq. 3)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...checks import ConfigError
from .kl import k3
from .surrogate import Surrogate

__all__ = ["ClippedSurrogate", "k3"]


class ClippedSurrogate(Surrogate):
    """-mean [ min(ρ A, clip(ρ, 1-ε, 1+ε) A) - β · KL ] over kept tokens and completions.

    Args:
        importance_sampling_level: Whether each "token" has a ratio ρ, each "sequence", or each "step".
        epsilon: ε below 1 and, unless ``epsilon_high`` is given, above.
        epsilon_high: ε above 1 (clip-higher).
        dual_clip: c above 1: where A < 0, the gain is not below c · A, however large the ratio is (dual-clip
            PPO, arXiv 1912.09729); None: it may be. Without it noise in ρ is unbounded where A < 0.
        beta, loss_type, filtered_in_ratio, options: See
            :class:`~igpo_lightning.algos.losses.surrogate.Surrogate`.
    """

    def __init__(
        self,
        importance_sampling_level: str = "token",
        epsilon: float = 0.2,
        epsilon_high: float | None = None,
        beta: float = 0.01,
        loss_type: str = "grpo",
        filtered_in_ratio: bool = False,
        dual_clip: float | None = None,
        **options: Any,
    ):
        if epsilon < 0 or (epsilon_high or 0) < 0 or beta < 0:
            raise ConfigError(
                f"algo.loss: epsilon {epsilon}, epsilon_high {epsilon_high} and beta {beta} "
                "must not be negative"
            )
        if dual_clip is not None and dual_clip <= 1:
            raise ConfigError(f"algo.loss.dual_clip={dual_clip}: expected a number above 1, or null")
        super().__init__(importance_sampling_level, beta, loss_type, filtered_in_ratio, **options)
        self.low, self.high = 1 - epsilon, 1 + (epsilon if epsilon_high is None else epsilon_high)
        self.dual_clip = dual_clip

    def gain(self, ratio: Tensor, advantage: Tensor) -> Tensor:
        gain = torch.min(ratio * advantage, ratio.clamp(self.low, self.high) * advantage)
        if self.dual_clip is not None:
            gain = torch.where(advantage < 0, torch.max(gain, self.dual_clip * advantage), gain)
        return gain

    def clipped(self, ratio: Tensor, advantage: Tensor) -> tuple[Tensor, Tensor]:
        low, high = (ratio < self.low) & (advantage < 0), (ratio > self.high) & (advantage > 0)
        if self.dual_clip is not None:
            high = high | ((ratio > self.dual_clip) & (advantage < 0))
        return low, high
