"""Policy losses: :class:`LossInputs` → (scalar loss, metrics)."""

from .base import LossInputs, PolicyLoss
from .clipped import ClippedSurrogate
from .group_softmax import GroupSoftmax
from .linear_bound import LinearBound
from .preference import Preference
from .sandwich import Sandwich
from .soft_gate import SoftGate

__all__ = [
    "ClippedSurrogate",
    "GroupSoftmax",
    "LinearBound",
    "LossInputs",
    "PolicyLoss",
    "Preference",
    "Sandwich",
    "SoftGate",
]
