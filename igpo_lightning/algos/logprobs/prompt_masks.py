"""Prompt tokens that are hidden at random, so that iterations over a rollout do not see one canvas only."""

from __future__ import annotations

import torch
from torch import Tensor

from ...seeding import torch_rng
from ...types import Rollout


def masked_prompts(rollout: Rollout, share: float, iteration: int, draw: int, canvases: int) -> Tensor:
    """[P, canvases, Q] bool: each prompt token hidden with probability ``share``, never the padding.

    A prompt is left-padded: token i from its end is hidden or not whatever the padding is.
    """
    lengths, width = rollout.prompt_mask.sum(-1).tolist(), rollout.prompt_mask.shape[1]
    masked = torch.zeros(len(lengths), canvases, width, dtype=torch.bool, device="cpu")
    for p, (seed, length) in enumerate(zip(rollout.seeds.tolist(), lengths, strict=True)):
        for row in range(canvases):
            rng = torch_rng(seed, "mask-prompt", iteration, row, draw)
            drawn = torch.rand(length, generator=rng, dtype=torch.float32, device="cpu")
            masked[p, row, width - length :] = drawn < share
    return masked.to(rollout.prompt_mask.device)
