"""What all estimators share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ...models import Policy
from ...types import RolloutBatch


@dataclass(frozen=True)
class Estimate:
    """Per-token estimates for P prompts with G completions of C tokens."""

    logps: Tensor  # [P, G, C] float32; 0 where not scored
    scored: Tensor  # [P, G, C] bool
    entropy: Tensor | None  # [P, G, C] float32 nats of the distribution each token was read from


class LogProbs(Protocol):
    """An estimator. Old, reference and current log-probs of one view see the same canvases."""

    def views(self, inner_updates: int) -> int:
        """How many different views a rollout needs: 1 if all inner updates look alike."""

    def __call__(self, policy: Policy, batch: RolloutBatch, view: int, *, entropy: bool = False) -> Estimate:
        """Estimate ``batch`` as inner update ``view`` sees it; deterministic in ``batch.seeds``."""


def prompt_rows(batch: RolloutBatch) -> tuple[Tensor, Tensor]:
    """The prompts repeated for each completion: ids and mask, [B, Q]."""
    group = batch.completions.shape[1]
    return batch.prompt_ids.repeat_interleave(group, 0), batch.prompt_mask.repeat_interleave(group, 0)


def zeros_like_tokens(batch: RolloutBatch) -> Tensor:
    return torch.zeros(batch.completions.shape, dtype=torch.float32, device=batch.completions.device)
