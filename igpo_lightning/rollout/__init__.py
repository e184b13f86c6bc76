"""The straight line from prompts to a training batch.

canvas → sample → score → intervene → select → advantages → old and reference log-probs → token filter.
Read :meth:`RolloutEngine.run` from top to bottom; every step is an object given by name.
"""

from .credit import GreedyBaseline, PerCompletion, ZeroVariance
from .engine import RolloutEngine
from .fidelity import Fidelity
from .hints import Chunks, NoHints
from .interventions import AllWrong, Keep, ReplaceWrong, Retry, inpaint, resample
from .selection import AllGroups, OtherPrompts
from .spans import ByDifficulty, OverRollouts, Whole

__all__ = [
    "AllGroups",
    "AllWrong",
    "ByDifficulty",
    "Chunks",
    "Fidelity",
    "GreedyBaseline",
    "Keep",
    "NoHints",
    "OtherPrompts",
    "OverRollouts",
    "PerCompletion",
    "ReplaceWrong",
    "Retry",
    "RolloutEngine",
    "Whole",
    "ZeroVariance",
    "inpaint",
    "resample",
]
