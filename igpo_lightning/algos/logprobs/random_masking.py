"""Estimates on half-filled canvases: each token is read where it was masked, the others are visible."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from ...checks import positive_int
from ...models import Policy
from ...sampling.canvas import attention_of
from ...seeding import torch_rng
from ...types import RolloutBatch
from .base import Estimate, prompt_rows, zeros_like_tokens


class _Masked(ABC):
    """Show canvases with ``masked`` holes; score the tokens under them.

    Each inner update sees its own masks. Old, reference and current log-probs of one update see the
    same ones, because masks are a function of (prompt seed, completion, view) alone.
    """

    def views(self, inner_updates: int) -> int:
        return inner_updates

    @abstractmethod
    def canvases(self, width: int, seed: int, view: int, g: int) -> list[tuple[Tensor, Tensor]]:
        """(masked [C] bool, scored [C] bool) of each model call; a token is scored at most once."""

    def __call__(self, policy: Policy, batch: RolloutBatch, view: int, *, entropy: bool = False) -> Estimate:
        prompts, group, width = batch.completions.shape
        device = batch.completions.device
        seeds = batch.seeds.tolist()
        plans = [self.canvases(width, seed, view, g) for seed in seeds for g in range(group)]
        ids, prompt_mask = prompt_rows(batch)
        attention = attention_of(prompt_mask, width)
        tokens = batch.completions.reshape(prompts * group, width)
        logps = zeros_like_tokens(batch).view(-1, width)
        nats = torch.zeros_like(logps) if entropy else None
        seen = torch.zeros_like(tokens, dtype=torch.bool)
        for call in zip(*plans, strict=True):
            masked = torch.stack([m for m, _ in call]).to(device)
            scored = torch.stack([s for _, s in call]).to(device)
            canvas = torch.cat([ids, tokens.masked_fill(masked, policy.mask_id)], dim=1)
            positions = torch.cat([torch.zeros_like(ids, dtype=torch.bool), scored], dim=1)
            scores = policy(canvas, attention, positions, targets=tokens[scored], entropy=entropy)
            logps = logps.masked_scatter(scored, scores.logps)
            if nats is not None:
                nats = nats.masked_scatter(scored, scores.entropy)
            seen |= scored
        shape = (prompts, group, width)
        return Estimate(logps.view(shape), seen.view(shape), None if nats is None else nats.view(shape))


class RandomMasking(_Masked):
    """Mask each token with probability t ~ U(0, 1); with ``coupled``, then mask the complement.

    The coupled pair scores every token exactly once, which lowers the variance (coupled-GRPO,
    arXiv 2506.20639, section 4.2) for twice the compute.
    """

    def __init__(self, coupled: bool = True):
        self.coupled = coupled

    def canvases(self, width: int, seed: int, view: int, g: int) -> list[tuple[Tensor, Tensor]]:
        rng = torch_rng(seed, "mask", view, g)
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

    def canvases(self, width: int, seed: int, view: int, g: int) -> list[tuple[Tensor, Tensor]]:
        rng = torch_rng(seed, "mask", view, g)
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
