"""Fill a canvas: generation is a canvas of masks, inpainting is the same canvas with hints in it."""

from .acceptance import Acceptance, Budget, EntropyBound, Factor, Quota, Threshold
from .blockwise import BlockwiseSampler
from .order import DrawnProbability, LeastEntropy, Margin, MaxProbability, Order, RandomOrder

__all__ = [
    "Acceptance",
    "BlockwiseSampler",
    "Budget",
    "DrawnProbability",
    "EntropyBound",
    "Factor",
    "LeastEntropy",
    "Margin",
    "MaxProbability",
    "Order",
    "Quota",
    "RandomOrder",
    "Threshold",
]
