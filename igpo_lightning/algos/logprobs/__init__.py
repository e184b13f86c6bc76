"""Estimators of the log-probability of a completion's tokens under a masked diffusion policy.

The likelihood of a diffusion LM has no closed form. An estimator chooses which canvases to show the
policy (:class:`Draw`), and :func:`score` reads the log-probability of each completion token where it is
masked. To add one, write its ``draws``, or for a plan of each completion alone :class:`Planned`.
"""

from .base import Draw, LogProbs, Scored, check_blocks, hidden_tokens, score, weights
from .block_masking import BlockMasking
from .left_to_right import LeftToRight
from .level_masking import LevelMasking
from .mean_field import MeanField
from .planned import Planned
from .random_block import RandomBlock
from .random_masking import RandomMasking
from .replay import Replay

__all__ = [
    "BlockMasking",
    "Draw",
    "LeftToRight",
    "LevelMasking",
    "LogProbs",
    "MeanField",
    "Planned",
    "RandomBlock",
    "RandomMasking",
    "Replay",
    "Scored",
    "check_blocks",
    "hidden_tokens",
    "score",
    "weights",
]
