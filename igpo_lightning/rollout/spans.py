"""Amounts of hints, by how hard a problem is or how far the run is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ..checks import fraction, not_negative, positive_int
from .resampler import Resampler


class Span(Protocol):
    def __call__(self, low: float, high: float, p: int, resampler: Resampler) -> tuple[float, float]:
        """(lowest, highest) hint ratio of prompt ``p``, where ``algo.inpaint.ratio`` is [low, high]."""
        ...


@dataclass(frozen=True)
class Whole:
    """All of ``algo.inpaint.ratio``, for every problem at any time, as the paper has it."""

    def __call__(self, low: float, high: float, p: int, resampler: Resampler) -> tuple[float, float]:
        return low, high


@dataclass(frozen=True)
class ByDifficulty:
    """The more of a problem's last completions were wrong, the more hints.

    A window slides within ``algo.inpaint.ratio``: at its upper end for a problem that was never solved, at
    its lower end for one that always was. A problem that was not seen yet has all of it.

    Args:
        width: Of the window, as a share of ``algo.inpaint.ratio``; 0 fixes the ratio.
    """

    width: float = 0.5

    def __post_init__(self) -> None:
        fraction("algo.inpaint.span.width", self.width)

    def __call__(self, low: float, high: float, p: int, resampler: Resampler) -> tuple[float, float]:
        solved = resampler.solved(p)
        if solved is None:
            return low, high
        size = self.width * (high - low)
        lowest = low + (high - low - size) * (1 - solved)
        return lowest, lowest + size


@dataclass(frozen=True)
class OverRollouts:
    """Both ends of ``algo.inpaint.ratio`` go linearly to ``final`` times what they are, and stay there.

    Args:
        rollouts: Until then.
        final: Factor at the end; 0 ends without hints.
    """

    rollouts: int
    final: float = 0.0

    def __post_init__(self) -> None:
        positive_int("algo.inpaint.span.rollouts", self.rollouts)
        not_negative("algo.inpaint.span.final", self.final)

    def __call__(self, low: float, high: float, p: int, resampler: Resampler) -> tuple[float, float]:
        factor = 1 + (self.final - 1) * min(1.0, resampler.index / self.rollouts)
        return min(1.0, low * factor), min(1.0, high * factor)
