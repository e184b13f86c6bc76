"""Intervals on the unit that matters, and what they say of a claim."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from igpo_lightning.reporting.noise import student

MOST = 16  # units: there are 2^n ways to flip their signs


@dataclass(frozen=True)
class Interval:
    """A mean over n independent units with its 95 % interval (Student's t); NaN ends with one unit."""

    mean: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Interval:
        """Interval of the mean of ``values``, one for each unit.

        Raises:
            ValueError: No values, or more than 16.
        """
        n = len(values)
        if not 1 <= n <= MOST:
            raise ValueError(f"between 1 and {MOST} units can be averaged, not {n}")
        mean = float(np.mean(values))
        if n == 1:
            return cls(mean, math.nan, math.nan, 1)
        half = student(n - 1) * float(np.std(values, ddof=1)) / math.sqrt(n)
        return cls(mean, mean - half, mean + half, n)

    def __str__(self) -> str:
        return f"{self.mean:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"

    @property
    def half(self) -> float:
        return (self.high - self.low) / 2


def tested(runs: Mapping[int, Mapping[str, Any]]) -> dict[int, float]:
    """Test accuracy by start, of what the runs from each measured."""
    return {seed: run["test"]["value"] for seed, run in runs.items()}


def lead(reference: Mapping[int, float], other: Mapping[int, float]) -> tuple[list[int], list[float]]:
    """Differences of two arms on the starts that both have: (seeds, reference - other)."""
    both = sorted(reference.keys() & other.keys())
    return both, [reference[seed] - other[seed] for seed in both]


def sign_flip_p(differences: Sequence[float]) -> float:
    """Two-sided p-value of a mean of 0: the share of all ways to flip signs that give as large a mean.

    Exact, and without assumptions but symmetry; with n units it can't be below 2 / 2^n.
    """
    values = np.asarray(differences, dtype=float)
    signs = np.array(list(product((-1.0, 1.0), repeat=len(values))))
    means = np.abs(signs @ values)
    return float(np.mean(means >= abs(values.sum()) - 1e-12))


def verdict(interval: Interval) -> str:
    """Say what a lead's interval says: "ahead", "behind", or "not decided" where it holds 0."""
    if math.isnan(interval.low):
        return "not decided (one start)"
    if interval.low > 0:
        return "ahead"
    return "behind" if interval.high < 0 else "not decided"
