"""Estimates on half-filled canvases: each token is read where it was masked, the others are visible."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

import torch
from torch import Tensor

from ...checks import positive_int
from ...seeding import torch_rng
from ...types import Rollout
from .base import Draw


class _Masked(ABC):
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


class RandomMasking(_Masked):
    """Mask each token with probability t ~ U(0, 1); with ``coupled``, then mask the complement.

    The coupled pair scores every token exactly once, which lowers the variance (coupled-GRPO,
    arXiv 2506.20639, section 4.2) for twice the compute.
    """

    def __init__(self, coupled: bool = True):
        self.coupled = coupled

    def count(self, width: int) -> int:
        return 2 if self.coupled else 1

    def canvases(self, width: int, seed: int, iteration: int, g: int) -> list[tuple[Tensor, Tensor]]:
        rng = torch_rng(seed, "mask", iteration, g)
        masked = _uniform(width, rng) < _uniform(1, rng)
        return [(masked, masked), (~masked, ~masked)] if self.coupled else [(masked, masked)]


class BlockMasking(_Masked):
    """The canvases that block-wise decoding passes through: blocks before visible, blocks after masked.

    Every block is visited once; within it a random half of the tokens is scored with the whole block
    masked, and the rest with that half already written. Every token is scored once, with 2 model
    calls a block.

    Args:
        block_length: Tokens per block, as in the sampler.
    """

    def __init__(self, block_length: int):
        self.block_length = positive_int("algo.logprobs.block_length", block_length)

    def count(self, width: int) -> int:
        return 2 * -(-width // self.block_length)

    def canvases(self, width: int, seed: int, iteration: int, g: int) -> list[tuple[Tensor, Tensor]]:
        rng = torch_rng(seed, "mask", iteration, g)
        column = torch.arange(width, dtype=torch.long, device="cpu")
        first = _uniform(width, rng) < _uniform(1, rng)
        calls = []
        for left in range(0, width, self.block_length):
            block = (column >= left) & (column < left + self.block_length)
            after = column >= left + self.block_length
            calls += [(block | after, block & first), ((block & ~first) | after, block & ~first)]
        return calls


def _uniform(count: int, rng: torch.Generator) -> Tensor:
    return torch.rand(count, generator=rng, dtype=torch.float32, device="cpu")
