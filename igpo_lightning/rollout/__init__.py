"""The straight line from prompts to a training batch.

canvas → sample → score → intervene → advantages → old and reference log-probs → token filter.
Read :meth:`RolloutEngine.run` from top to bottom; every step is an object given by name.
"""

from .engine import RolloutEngine
from .hints import ChunkPlacer
from .intervention import AllWrong, Inpaint, Keep, Resample

__all__ = ["AllWrong", "ChunkPlacer", "Inpaint", "Keep", "Resample", "RolloutEngine"]
