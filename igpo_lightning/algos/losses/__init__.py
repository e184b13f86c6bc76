"""Policy losses: :class:`LossInputs` → (scalar loss, metrics)."""

from .base import LossInputs, PolicyLoss, Share
from .clipped import ClippedSurrogate
from .group_softmax import GroupSoftmax
from .linear_bound import LinearBound
from .preference import Preference
from .sandwich import Sandwich
from .soft_gate import SoftGate
from .watching import policy_metrics

__all__ = [
    "ClippedSurrogate",
    "GroupSoftmax",
    "LinearBound",
    "LossInputs",
    "PolicyLoss",
    "Preference",
    "Sandwich",
    "Share",
    "SoftGate",
    "policy_metrics",
]
