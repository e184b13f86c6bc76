"""Values of formulas at two choices of their letters, as complex floats.

Floats bound the work: no text can make them large or slow.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable
from functools import lru_cache
from zlib import crc32

Value = tuple[complex, complex]
"""A formula at two choices of its letters."""

PI: Value = (math.pi + 0j, math.pi + 0j)
DEGREE: Value = (math.pi / 180 + 0j, math.pi / 180 + 0j)

FUNCTIONS: dict[str, Callable[[complex], complex]] = {
    "sin": cmath.sin, "cos": cmath.cos, "tan": cmath.tan, "arcsin": cmath.asin, "arccos": cmath.acos,
    "arctan": cmath.atan, "sinh": cmath.sinh, "cosh": cmath.cosh, "tanh": cmath.tanh, "exp": cmath.exp,
    "ln": cmath.log, "log": cmath.log10, "sec": lambda x: 1 / cmath.cos(x), "csc": lambda x: 1 / cmath.sin(x),
    "cot": lambda x: 1 / cmath.tan(x), "sqrt": cmath.sqrt, "arccot": lambda x: cmath.atan(1 / x),
    "arcsec": lambda x: cmath.acos(1 / x), "arccsc": lambda x: cmath.asin(1 / x),
}  # fmt: skip
INVERSES = {name: f"arc{name}" for name in ("sin", "cos", "tan", "cot", "sec", "csc")}

_CLOSE = 1e-9  # of the size: far above rounding, far below what tells two answers apart
_ZERO = 1e-13
_MOST_STEPS = 2**40  # of a whole exponent


def same(left: Value, right: Value) -> bool:
    """True if the two are equal, up to their sign and to rounding."""
    (a, b), (c, d) = left, right
    near, far = _CLOSE * abs(c) + _ZERO, _CLOSE * abs(d) + _ZERO
    return (abs(a - c) <= near and abs(b - d) <= far) or (abs(a + c) <= near and abs(b + d) <= far)


def proportional(left: Value, right: Value) -> bool:
    """True if one is a multiple of the other: two equations that say the same."""
    (a, b), (c, d) = left, right
    size = abs(a * d) + abs(b * c)
    return size > _CLOSE and abs(a * d - b * c) <= _CLOSE * size


def finite(value: Value) -> bool:
    return cmath.isfinite(value[0]) and cmath.isfinite(value[1])


def constant(value: complex) -> Value:
    return complex(value), complex(value)


@lru_cache(maxsize=4096)
def letter(name: str) -> Value:
    """Arbitrary values of a variable, one below 1 and one above it; e and i are themselves."""
    if name in ("e", "i"):
        return constant(math.e if name == "e" else 1j)
    share = crc32(name.encode()) / 2**32
    return complex(0.3 + 0.6 * share), complex(1.1 + 1.9 * (share * 7919 % 1))


def absolute(value: complex) -> complex:
    """The absolute value, as a complex number."""
    return complex(abs(value))


def each(function: Callable[..., complex], *values: Value | None) -> Value | None:
    """``function`` at both choices; None where it has no value."""
    if None in values:
        return None
    try:
        first, second = (complex(function(*given)) for given in zip(*values, strict=True))
    except (ArithmeticError, ValueError):
        return None
    return first, second


def add(a: Value | None, b: Value | None) -> Value | None:
    return a and b and (a[0] + b[0], a[1] + b[1])


def multiply(a: Value | None, b: Value | None) -> Value | None:
    return a and b and (a[0] * b[0], a[1] * b[1])


def negate(value: Value | None) -> Value | None:
    return value and (-value[0], -value[1])


def invert(value: Value | None) -> Value | None:
    return each(lambda x: 1 / x, value)


def divide(a: Value | None, b: Value | None) -> Value | None:
    return each(lambda x, y: x / y, a, b)


def power(base: Value | None, exponent: Value | None) -> Value | None:
    return each(_power, base, exponent)


def logarithm(value: Value | None, base: Value | None) -> Value | None:
    return each(lambda x, b: cmath.log(x) / cmath.log(b), value, base)


def root(value: Value | None, degree: Value | None = (2 + 0j, 2 + 0j)) -> Value | None:
    """The principal root; the real one of a negative number if the degree is odd."""
    return each(_root, value, degree)


def factorial(value: Value | None) -> Value | None:
    return each(lambda n: math.factorial(_whole(n, 170)), value)


def choose(n: Value | None, k: Value | None) -> Value | None:
    """The binomial coefficient."""
    return each(lambda n, k: math.comb(_whole(n, 500), _whole(k, 500)), n, k)


def _power(base: complex, exponent: complex) -> complex:
    number = int(exponent.real) if abs(exponent) < _MOST_STEPS else 0
    if exponent != number:
        return base**exponent
    result, square = 1 + 0j, base  # exact for whole numbers and for i
    for bit in reversed(bin(abs(number))[2:]):
        result, square = (result * square if bit == "1" else result), square * square
    return 1 / result if number < 0 else result


def _root(value: complex, degree: complex) -> complex:
    if degree == 2:
        return cmath.sqrt(value)
    if value.imag == 0 > value.real and degree.real % 2 == 1:
        return -((-value) ** (1 / degree))
    return value ** (1 / degree)


def _whole(value: complex, most: int) -> int:
    if value.imag or value.real % 1 or not 0 <= value.real <= most:
        raise ValueError
    return int(value.real)
