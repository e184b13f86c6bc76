"""Estimators of the log-probability of a completion's tokens under a masked diffusion policy.

The likelihood of a diffusion LM has no closed form. An estimator chooses which canvases to show the
policy, and reads the log-probability of each completion token where it is masked.
"""

from .base import Estimate, LogProbs
from .mean_field import MeanField
from .random_masking import BlockMasking, RandomMasking

__all__ = ["BlockMasking", "Estimate", "LogProbs", "MeanField", "RandomMasking"]
