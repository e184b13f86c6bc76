"""Rules of acceptance: which of a block's candidates are written at a step."""

from .base import Acceptance
from .budget import Budget
from .entropy_bound import EntropyBound
from .factor import Factor
from .quota import Quota
from .threshold import Threshold

__all__ = ["Acceptance", "Budget", "EntropyBound", "Factor", "Quota", "Threshold"]
