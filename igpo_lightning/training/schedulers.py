"""Learning-rate schedules, counted in updates.

Each is ``(optimizer, total, …) -> scheduler``; the module gives ``total``, the updates of the whole run.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def warmup_linear(optimizer: Optimizer, total: int, warmup: int, final: float = 0.0) -> LambdaLR:
    """Linear from 0 over ``warmup`` updates, then linear to ``final`` times the peak at ``total``."""
    return _warmed_up(optimizer, total, warmup, final, lambda progress: 1 - progress)


def warmup_cosine(optimizer: Optimizer, total: int, warmup: int, final: float = 0.0) -> LambdaLR:
    """Linear from 0 over ``warmup`` updates, then a cosine down to ``final`` times the peak at ``total``."""
    return _warmed_up(optimizer, total, warmup, final, lambda p: 0.5 * (1 + math.cos(math.pi * p)))


def _warmed_up(
    optimizer: Optimizer, total: int, warmup: int, final: float, decay: Callable[[float], float]
) -> LambdaLR:
    """``decay`` maps the share of the updates after the warm-up that are done to a factor from 1 to 0."""

    def factor(update: int) -> float:
        if update < warmup:
            return (update + 1) / (warmup + 1)  # no update is made at rate 0
        progress = min(1.0, (update - warmup) / max(1, total - warmup))
        return final + (1 - final) * decay(progress)

    return LambdaLR(optimizer, factor)
