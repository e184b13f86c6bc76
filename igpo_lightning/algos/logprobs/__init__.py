"""Estimators of the log-probability of a completion's tokens under a masked diffusion policy.

The likelihood of a diffusion LM has no closed form. An estimator chooses which canvases to show the
policy (:class:`Draw`), and :func:`score` reads the log-probability of each completion token where it is
masked. To add one, write its ``draws``.
"""

from .base import Draw, LogProbs, Scored, score, weights
from .mean_field import MeanField
from .random_masking import BlockMasking, RandomMasking

__all__ = ["BlockMasking", "Draw", "LogProbs", "MeanField", "RandomMasking", "Scored", "score", "weights"]
