"""All blocks of block-wise decoding."""

from __future__ import annotations

import torch
from torch import Tensor

from ...checks import positive_int
from ...seeding import torch_rng
from .masked import Masked, uniform


class BlockMasking(Masked):
    """The canvases that block-wise decoding passes through: blocks before visible, blocks after masked.

    Every block is visited once; within it a random half of the tokens is scored with the whole block
    masked, and the rest with that half already written. Every token is scored once, with 2 model
    calls a block.

    Args:
        block_length: Tokens per block, as in the sampler.
    """

    def __init__(self, block_length: int):
        self.block_length = self.within = positive_int("algo.logprobs.block_length", block_length)

    def count(self, width: int) -> int:
        return 2 * -(-width // self.block_length)

    def canvases(self, width: int, seed: int, iteration: int, g: int) -> list[tuple[Tensor, Tensor]]:
        rng = torch_rng(seed, "mask", iteration, g)
        column = torch.arange(width, dtype=torch.long, device="cpu")
        first = uniform(width, rng) < uniform(1, rng)
        calls = []
        for left in range(0, width, self.block_length):
            block = (column >= left) & (column < left + self.block_length)
            after = column >= left + self.block_length
            calls += [(block | after, block & first), ((block & ~first) | after, block & ~first)]
        return calls
