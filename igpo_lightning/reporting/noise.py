"""Means over seeds, and the noise in their differences."""

from __future__ import annotations

import math
from dataclasses import dataclass

# 97.5% quantiles of Student's t for 1, 2, … 15 degrees of freedom (Abramowitz and Stegun, table 26.10).
_STUDENT = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306),
    *(2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131),
)


@dataclass(frozen=True)
class Figure:
    """Mean over ``n`` jobs and its standard error, which takes at least two; NaN without as many."""

    mean: float
    error: float
    n: int


def difference(one: Figure, other: Figure) -> tuple[float, float]:
    """95% interval of the difference of two means, by Welch's t-test; NaN if one is of a single job."""
    gap = one.mean - other.mean
    if one.n < 2 or other.n < 2:
        return math.nan, math.nan
    variance = one.error**2 + other.error**2
    if variance == 0:
        return gap, gap
    freedom = variance**2 / (one.error**4 / (one.n - 1) + other.error**4 / (other.n - 1))
    half = student(freedom) * math.sqrt(variance)
    return gap - half, gap + half


def apart(one: Figure, other: Figure) -> bool:
    """True if the difference of two means is outside the noise: its 95% interval leaves out 0."""
    low, high = difference(one, other)
    return low > 0 or high < 0


def student(freedom: float) -> float:
    """97.5% quantile of Student's t; between whole degrees of freedom, that of the smaller one."""
    whole = int(freedom + 1e-6)  # four may have been rounded to less
    if whole <= len(_STUDENT):
        return _STUDENT[max(1, whole) - 1]
    return 1.96 + 2.372 / freedom + 2.82 / freedom**2  # its expansion around the normal distribution's
