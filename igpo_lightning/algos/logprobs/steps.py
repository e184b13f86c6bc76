"""The steps that a completion took, counted without those that wrote nothing."""

from __future__ import annotations

import torch
from torch import Tensor


def ranks(step_map: Tensor) -> tuple[Tensor, Tensor]:
    """Number the distinct steps of each completion from 0.

    Args:
        step_map: [P, G, C] the step that wrote each token; -1 where none did.

    Returns:
        ([P, G, C] int64 number of each token's step, -1 where none wrote it; [P, G] int64 steps).
    """
    steps = step_map.long()
    taken = torch.zeros(*steps.shape[:2], int(steps.amax()) + 2, dtype=torch.bool, device=steps.device)
    taken.scatter_(2, steps + 1, True)
    taken[:, :, 0] = False  # of tokens without a step
    rank = taken.long().cumsum(-1) - 1
    return rank.gather(2, steps + 1).masked_fill(steps < 0, -1), taken.sum(-1)
