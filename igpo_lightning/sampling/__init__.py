"""Fill a canvas: generation is a canvas of masks, inpainting is the same canvas with hints in it."""

from .acceptance import Acceptance, Quota
from .blockwise import BlockwiseSampler
from .order import DrawnProbability, Order

__all__ = ["Acceptance", "BlockwiseSampler", "DrawnProbability", "Order", "Quota"]
