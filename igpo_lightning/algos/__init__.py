"""The pieces an algorithm is made of; a config in ``conf/algo`` makes one :class:`Algorithm` of them.

To add an algorithm, write the one piece that differs and name it in a config.
"""

from .advantages import LeaveOneOut, MeanCentred, Standardised, WithSignal
from .algorithm import Algorithm, Supervised
from .reference import Kept, Moved, NoReference
from .token_filters import AllTokens, TopEntropyHints

__all__ = [
    "Algorithm",
    "AllTokens",
    "Kept",
    "LeaveOneOut",
    "MeanCentred",
    "Moved",
    "NoReference",
    "Standardised",
    "Supervised",
    "TopEntropyHints",
    "WithSignal",
]
