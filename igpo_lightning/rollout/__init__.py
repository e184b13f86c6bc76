"""The straight line from prompts to a training batch.

canvas → sample → score → intervene → select → advantages → old and reference log-probs → token filter.
Read :meth:`RolloutEngine.run` from top to bottom; every step is an object given by name.
"""

from .credit import GreedyBaseline, PerCompletion, ZeroVariance
from .engine import RolloutEngine
from .fidelity import Fidelity
from .hints import Chunks, ForcedAnswer, NoHints
from .interventions import AllWrong, Keep, ReplaceWrong, Retry, force_answer, inpaint, resample
from .selection import AllGroups, OtherPrompts
from .spans import ByDifficulty, OverRollouts, Whole

__all__ = [
    "AllGroups",
    "AllWrong",
    "ByDifficulty",
    "Chunks",
    "Fidelity",
    "ForcedAnswer",
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
    "force_answer",
    "inpaint",
    "resample",
]
