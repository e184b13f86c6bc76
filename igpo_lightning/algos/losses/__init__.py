"""Policy losses: :class:`LossInputs` → (scalar loss, metrics)."""

from .base import LossInputs, PolicyLoss
from .clipped import ClippedSurrogate

__all__ = ["ClippedSurrogate", "LossInputs", "PolicyLoss"]
