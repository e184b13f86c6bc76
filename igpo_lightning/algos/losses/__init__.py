"""Policy losses: :class:`LossInputs` → (scalar loss, metrics)."""

from .base import LossInputs, PolicyLoss, Share
from .clipped import ClippedSurrogate
from .watching import policy_metrics

__all__ = ["ClippedSurrogate", "LossInputs", "PolicyLoss", "Share", "policy_metrics"]
