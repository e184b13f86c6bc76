"""The straight line from prompts to a training batch.

canvas → sample → score → intervene → advantages → old and reference log-probs → token filter.
Read :meth:`RolloutEngine.run` from top to bottom; every step is an object given by name.
"""

from .engine import RolloutEngine
from .fidelity import Fidelity
from .hints import Chunks, NoHints
from .interventions import AllWrong, Keep, ReplaceWrong, Retry, inpaint, resample

__all__ = [
    "AllWrong",
    "Chunks",
    "Fidelity",
    "Keep",
    "NoHints",
    "ReplaceWrong",
    "Retry",
    "RolloutEngine",
    "inpaint",
    "resample",
]
