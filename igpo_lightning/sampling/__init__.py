"""Fill a canvas: generation is a canvas of masks, inpainting is the same canvas with hints in it."""

from .low_confidence import LowConfidenceSampler

__all__ = ["LowConfidenceSampler"]
