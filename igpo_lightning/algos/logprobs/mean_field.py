"""The one-step mean-field estimate (diffu-GRPO, arXiv 2504.12216, section 3.1; used by IGPO)."""

from __future__ import annotations

import torch

from ...checks import fraction
from ...types import Rollout
from .base import Draw
from .prompt_masks import masked_prompts


class MeanField:
    """One forward of the prompt with a fully masked completion; each token is read where it stands.

    The canvas holds no completion token, so the G completions of a prompt share one row, and all
    iterations share one set of old and reference log-probs: P rows instead of μ·P·G, the same numbers
    and the same gradient.

    Args:
        mask_prompt: Share of the prompt's tokens that is hidden as well, at random and anew in each
            iteration, so that μ iterations do not learn one canvas by heart (d1's ``p_mask_prompt``, 0.15).
        shared: With ``mask_prompt``, whether a group shares one mask, and so one row. In d1's code each
            completion has its own: P·G rows.
    """

    def __init__(self, mask_prompt: float = 0.0, shared: bool = False):
        self.mask_prompt, self.shared = fraction("algo.logprobs.mask_prompt", mask_prompt), shared
        self.renewed = self.mask_prompt > 0

    def count(self, width: int) -> int:
        return 1

    def draws(self, rollout: Rollout, iteration: int) -> list[Draw]:
        canvases, hidden = 1, None
        if self.renewed:
            canvases = 1 if self.shared else rollout.tokens.shape[1]
            hidden = masked_prompts(rollout, self.mask_prompt, iteration, 0, canvases)
        everything = torch.ones_like(rollout.tokens[:, :canvases], dtype=torch.bool)
        return [Draw(everything, everything, prompt_masked=hidden)]
