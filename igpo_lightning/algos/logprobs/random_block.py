"""Canvases of block-wise decoding, one random block a draw (SPG, arXiv 2510.09541)."""

from __future__ import annotations

import torch
from torch import Tensor

from ...checks import ConfigError, fraction, positive_int
from .planned import Completion, Plan, Planned


class RandomBlock(Planned):
    """Blocks before a random one visible, a random number of its tokens masked, all after it masked.

    All that is masked within the completion is scored, the blocks after the chosen one and the noise before
    it included, as in the published code: it computes a mask of the block, and then does not use it. The
    weight is the completion's length over the tokens that the draw scores (1/t), divided by the draws.

    Args:
        block_length: Tokens per block, as in the sampler.
        blocks: Draws of an iteration; different blocks until a completion has no more.
        mask_prompt: Share of the prompt, and of the blocks before, that is masked at random as well.
    """

    def __init__(self, block_length: int, blocks: int = 2, mask_prompt: float = 0.15):
        self.block_length = positive_int("algo.logprobs.block_length", block_length)
        self.blocks = positive_int("algo.logprobs.blocks", blocks)
        self.mask_prompt = fraction("algo.logprobs.mask_prompt", mask_prompt)
        self.within = None if self.mask_prompt else self.block_length

    def count(self, width: int) -> int:
        most = -(-width // self.block_length)
        if self.blocks > most:
            raise ConfigError(f"algo.logprobs.blocks={self.blocks}: a completion has {most} of them at most")
        return self.blocks

    def plan(self, completion: Completion) -> Plan:
        length, width = completion.length, completion.width
        rng = completion.rng("mask")
        count, mine = self.count(width), -(-length // self.block_length)
        rounds = range(-(-count // mine))
        orders = [torch.randperm(mine, generator=rng, dtype=torch.long, device="cpu") for _ in rounds]
        draws = [self._draw(block, completion, rng) for block in torch.cat(orders)[:count].tolist()]
        masked, scored = (torch.stack(part) for part in zip(*draws, strict=True))
        return Plan(masked, scored, [length / (n * self.blocks) for n in scored.sum(-1).tolist()])

    def _draw(self, block: int, completion: Completion, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """(masked, scored), each [C] bool."""
        length = completion.length
        column = torch.arange(completion.width, dtype=torch.long, device="cpu")
        left = block * self.block_length
        stop = min(left + self.block_length, length)
        noise = torch.rand(completion.width, generator=rng, dtype=torch.float32, device="cpu")
        inside = (column >= left) & (column < stop)
        number = int(torch.randint(1, stop - left + 1, (), generator=rng, dtype=torch.long, device="cpu"))
        rank = noise.masked_fill(~inside, 2.0).argsort().argsort()
        masked = (
            (inside & (rank < number)) | (column >= stop) | ((column < left) & (noise < self.mask_prompt))
        )
        return masked, masked & (column < length)
