"""Gradients under every strategy: their scale and their norm."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DeepSpeedStrategy
from torch import Tensor, nn
from torch.distributed.tensor import DTensor


def loss_scale(trainer: Trainer) -> int:
    """Factor of a micro-batch's loss that makes an update's gradient the mean over its
    micro-batches.

    Lightning divides every loss by their number, and so does the DeepSpeed engine once more: at N
    micro-batches its gradients, and what clipping compares, would be N times too small.
    """
    return trainer.accumulate_grad_batches if isinstance(trainer.strategy, DeepSpeedStrategy) else 1


def keeps_masters(trainer: Trainer) -> bool:
    """True if the strategy trains float32 copies of its 16-bit weights, as DeepSpeed does."""
    return isinstance(trainer.strategy, DeepSpeedStrategy) and trainer.precision != "32-true"


def norm_before_step(trainer: Trainer, parameters: Iterable[nn.Parameter]) -> Tensor | None:
    """L2 norm [] of the whole gradient before clipping; None where :func:`norm_after_step` knows it."""
    if isinstance(trainer.strategy, DeepSpeedStrategy):
        return None  # the engine keeps the gradients to itself
    grads = [p.grad for p in parameters if p.grad is not None]
    if not grads:
        return None
    norm = torch.nn.utils.get_total_norm(grads)
    return norm.full_tensor() if isinstance(norm, DTensor) else norm


def norm_after_step(trainer: Trainer) -> float | None:
    """Gradient norm that the DeepSpeed engine found in its last step; None for other strategies."""
    if not isinstance(trainer.strategy, DeepSpeedStrategy):
        return None
    norm = trainer.strategy.deepspeed_engine.get_global_grad_norm()
    return None if norm is None else float(norm)
