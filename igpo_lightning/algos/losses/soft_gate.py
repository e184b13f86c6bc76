"""A soft gate in the place of the clip (SAPO, arXiv 2511.20347)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...checks import positive
from .surrogate import Surrogate


class SoftGate(Surrogate):
    """-mean [ 4/τ · σ(τ (ρ - 1)) · A - β · KL ]: the slope by ρ is 1 at ρ = 1 and fades on both sides.

    Args:
        temperature: τ where A > 0.
        temperature_negative: τ where A <= 0; larger fades sooner.
        options: See :class:`~igpo_lightning.algos.losses.surrogate.Surrogate`.
    """

    def __init__(self, temperature: float = 1.0, temperature_negative: float = 1.05, **options: Any):
        super().__init__(**options)
        self.above = positive("algo.loss.temperature", temperature)
        self.below = positive("algo.loss.temperature_negative", temperature_negative)

    def gain(self, ratio: Tensor, advantage: Tensor) -> Tensor:
        tau = torch.where(advantage > 0, self.above, self.below)
        return torch.sigmoid(tau * (ratio - 1)) * 4 / tau * advantage
