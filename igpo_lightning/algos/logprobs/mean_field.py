"""The one-step mean-field estimate (diffu-GRPO, arXiv 2504.12216, section 3.1; used by IGPO)."""

from __future__ import annotations

import torch

from ...models import Policy
from ...sampling.canvas import attention_of
from ...types import RolloutBatch
from .base import Estimate


class MeanField:
    """One forward of the prompt with a fully masked completion; each token is read where it stands.

    The model input holds no completion token, so the G completions of a prompt share one row, and
    all inner updates share one set of old and reference log-probs: P rows instead of μ·P·G, the
    same numbers and the same gradient.
    """

    def views(self, inner_updates: int) -> int:
        return 1

    def __call__(self, policy: Policy, batch: RolloutBatch, view: int, *, entropy: bool = False) -> Estimate:
        prompts, group, width = batch.completions.shape
        masks = torch.full_like(batch.completions[:, 0], policy.mask_id)
        canvas = torch.cat([batch.prompt_ids, masks], dim=1)
        positions = torch.zeros_like(canvas, dtype=torch.bool)
        positions[:, -width:] = True
        tokens = batch.completions.transpose(1, 2).reshape(prompts * width, group)  # [P * C, G]
        attention = attention_of(batch.prompt_mask, width)
        scores = policy(canvas, attention, positions, targets=tokens, entropy=entropy)
        logps, nats = scores.logps.view(prompts, width, group).transpose(1, 2), scores.entropy
        if nats is not None:
            nats = nats.view(prompts, 1, width).expand(prompts, group, width)
        return Estimate(logps, torch.ones_like(batch.completions, dtype=torch.bool), nats)
