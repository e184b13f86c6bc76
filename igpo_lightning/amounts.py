"""Checks of numbers, intervals and choices in a config; exported by :mod:`igpo_lightning.checks`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from igpo_lightning.errors import ConfigError


def positive_int(name: str, value: Any) -> int:
    """``value``, if it is an integer of at least 1."""
    if not is_int(value) or value < 1:
        raise ConfigError(f"{name}={value}: expected a whole number of at least 1")
    return value


def whole_number(name: str, value: Any) -> int:
    """``value``, if it is an integer of at least 0."""
    if not is_int(value) or value < 0:
        raise ConfigError(f"{name}={value}: expected a whole number of at least 0")
    return value


def not_negative(name: str, value: Any) -> float:
    """``value``, if it is a number of at least 0."""
    if not is_number(value) or value < 0:
        raise ConfigError(f"{name}={value}: expected a number of at least 0")
    return value


def positive(name: str, value: Any) -> float:
    """``value``, if it is a number above 0."""
    if not is_number(value) or value <= 0:
        raise ConfigError(f"{name}={value}: expected a number above 0")
    return value


def fraction(name: str, value: Any) -> float:
    """``value``, if it is a number from 0 to 1."""
    if not is_number(value) or not 0 <= value <= 1:
        raise ConfigError(f"{name}={value}: expected a number from 0 to 1")
    return float(value)


def interval(
    name: str, value: Any, minimum: float, maximum: float = math.inf, *, integer: bool = False
) -> tuple[float, float]:
    """``value`` as (lo, hi) with minimum <= lo <= hi <= maximum; a single number means lo = hi."""
    kind, valid = ("whole number", is_int) if integer else ("number", is_number)
    upper = "" if math.isinf(maximum) else f" and at most {maximum:g}"
    bounds: Any = [value, value] if is_number(value) else value
    if not _is_pair(bounds) or not all(valid(b) and minimum <= b <= maximum for b in bounds):
        raise ConfigError(
            f"{name}={show(value)}: expected [low, high] or one {kind}, each at least {minimum:g}{upper}"
        )
    low, high = bounds
    if low > high:
        raise ConfigError(f"{name}=[{low},{high}]: low is above high; did you mean [{high},{low}]?")
    return low, high


def _is_pair(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2


def choice(name: str, value: Any, *known: str) -> str:
    """``value``, if it is one of ``known``."""
    if value not in known:
        raise ConfigError(f"{name}={value}: expected one of {', '.join(known)}")
    return value


def is_int(value: Any) -> bool:
    """True for whole numbers, which booleans are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """True for finite numbers, which booleans are not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def around(value: int, valid: Sequence[int]) -> str:
    """The nearest valid values below and above, as text."""
    below = [v for v in valid if v < value][-1:]
    above = [v for v in valid if v > value][:1]
    return " or ".join(str(v) for v in below + above)


def show(value: Any) -> str:
    """Format ``value`` as it is typed on the command line: lists as ``[a,b]``."""
    return f"[{','.join(map(str, value))}]" if isinstance(value, (list, tuple)) else str(value)


def counted(counts: Mapping[str, int]) -> str:
    """Format counts for a sentence, ``1,024 no answer, 2 no prompt``."""
    return ", ".join(f"{count:,} {what}" for what, count in counts.items())
