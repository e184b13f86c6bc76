"""The pieces an algorithm is made of; a config in ``conf/algo`` puts them together.

To add an algorithm, write the one piece that differs and name it in a config.
"""

from .advantages import MeanCentred, Standardised
from .token_filters import AllTokens, TopEntropyHints

__all__ = ["AllTokens", "MeanCentred", "Standardised", "TopEntropyHints"]
