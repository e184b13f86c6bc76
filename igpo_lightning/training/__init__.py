"""The LightningModules: one for each training stage."""

from .policy_optimization import PolicyOptimization
from .sft import MaskedDiffusionSFT

__all__ = ["MaskedDiffusionSFT", "PolicyOptimization"]
