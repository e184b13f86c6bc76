"""Group-relative advantages: [P, G] rewards → [P, G] advantages."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class MeanCentred:
    """A_i = r_i - mean(r), without dividing by the deviation (Dr. GRPO, arXiv 2503.20783, section 3.2)."""

    def __call__(self, rewards: Tensor) -> Tensor:
        return rewards - rewards.mean(dim=1, keepdim=True)


@dataclass(frozen=True)
class Standardised:
    """A_i = (r_i - mean(r)) / (std(r) + epsilon) (GRPO, arXiv 2402.03300, section 4.1.2)."""

    epsilon: float = 1e-4

    def __call__(self, rewards: Tensor) -> Tensor:
        centred = rewards - rewards.mean(dim=1, keepdim=True)
        return centred / (rewards.std(dim=1, keepdim=True, correction=0) + self.epsilon)
