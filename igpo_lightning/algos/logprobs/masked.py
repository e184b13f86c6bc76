"""Estimators on half-filled canvases: each token is read where it was masked, the others are visible."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

import torch
from torch import Tensor

from ...types import Rollout
from .base import Draw


class Masked(ABC):
    """Show canvases with ``masked`` holes; score the tokens under them.

    Each iteration sees its own masks, a function of (prompt seed, iteration, completion) alone.
    """

    renewed = True

    @abstractmethod
    def count(self, width: int) -> int:
        """Draws of an iteration, for completions of ``width`` tokens."""

    @abstractmethod
    def canvases(self, width: int, seed: int, iteration: int, g: int) -> list[tuple[Tensor, Tensor]]:
        """(masked [C] bool, scored [C] bool) of each of the ``count`` draws of one completion."""

    def draws(self, rollout: Rollout, iteration: int) -> list[Draw]:
        prompts, group, width = rollout.tokens.shape
        plans = [
            self.canvases(width, seed, iteration, g) for seed in rollout.seeds.tolist() for g in range(group)
        ]

        def stacked(rows: Iterable[Tensor]) -> Tensor:
            return torch.stack(list(rows)).view(prompts, group, width).to(rollout.tokens.device)

        return [
            Draw(stacked(masked for masked, _ in draw), stacked(scored for _, scored in draw))
            for draw in zip(*plans, strict=True)
        ]


def uniform(count: int, rng: torch.Generator) -> Tensor:
    """[count] float32 in [0, 1), on the CPU."""
    return torch.rand(count, generator=rng, dtype=torch.float32, device="cpu")
