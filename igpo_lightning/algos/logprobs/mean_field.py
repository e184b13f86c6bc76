"""The one-step mean-field estimate (diffu-GRPO, arXiv 2504.12216, section 3.1; used by IGPO)."""

from __future__ import annotations

import torch

from ...types import Rollout
from .base import Draw


class MeanField:
    """One forward of the prompt with a fully masked completion; each token is read where it stands.

    The canvas holds no completion token, so the G completions of a prompt share one row, and all
    iterations share one set of old and reference log-probs: P rows instead of μ·P·G, the same numbers
    and the same gradient.
    """

    renewed = False

    def count(self, width: int) -> int:
        return 1

    def draws(self, rollout: Rollout, iteration: int) -> list[Draw]:
        everything = torch.ones_like(rollout.tokens[:, :1], dtype=torch.bool)
        return [Draw(everything, everything)]
