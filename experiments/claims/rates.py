"""Choice of a learning rate from a grid that grows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence


def best(means: Mapping[float, float]) -> float:
    """The rate with the highest mean; of equal ones the one nearest to the grid's middle."""
    middle = math.log(min(means) * max(means)) / 2
    return max(sorted(means), key=lambda rate: (means[rate], -abs(math.log(rate) - middle)))


def grown(rates: Sequence[float], best: float) -> float | None:
    """The rate to try next: the neighbour outside the grid if ``best`` stands at its edge, else None."""
    ordered = sorted(rates)
    if len(ordered) < 2:
        return None
    if best == ordered[0]:
        return ordered[0] ** 2 / ordered[1]
    return ordered[-1] ** 2 / ordered[-2] if best == ordered[-1] else None
