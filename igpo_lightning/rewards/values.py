"""Compares formulas: constants by value, formulas with names by their values at sample points.

Arithmetic is exact where it can be, and else has 60 digits, so that numbers are compared relative to
their size. Every step is bounded: numbers too large or too small to handle are not equal to anything.
"""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import mpmath

from igpo_lightning.rewards.trees import Tree, aligned, has, names
from igpo_lightning.rewards.vocabulary import listed

_DIGITS = 60
_RELATIVE = 1e-40
_MOST_BITS = 20_000
"""Of exact numbers; larger ones have 60 digits."""
_MOST_EXPONENT = 10**7
_POINTS = 6
_EITHER_SIGN = listed("x y z a b c k n p q t u v w X Y Z \\theta \\alpha \\beta \\phi")
"""Names that may be negative; others are taken for quantities, which are not."""


class Undefined(ValueError):
    """A formula has no value at this point, or one that is out of bounds."""


_local = threading.local()


def _context():
    """A private mpmath context for each thread: the global one belongs to everybody."""
    if not hasattr(_local, "mp"):
        _local.mp = mpmath.MPContext()
        _local.mp.dps = _DIGITS
    return _local.mp


def exact(tree: Tree) -> Fraction | None:
    """The value of a formula of rational numbers, else None."""
    kind = tree[0]
    if kind == "number":
        return tree[1]
    if kind not in _STEPS or kind == "root":
        return None
    parts = [value for part in tree[1:] if (value := exact(part)) is not None]
    if len(parts) < len(tree) - 1:
        return None
    try:
        value = _exact_step(kind, parts)
    except ZeroDivisionError:
        return None
    return value if value is not None and _bits(value) <= _MOST_BITS else None


def _exact_step(kind: str, parts: list[Fraction]) -> Fraction | None:
    a = parts[0]
    if kind == "pm":
        return a
    if kind == "neg":
        return -a
    if kind == "abs":
        return abs(a)
    if kind in ("floor", "ceil"):
        return Fraction(math.floor(a) if kind == "floor" else math.ceil(a))
    if kind == "factorial":
        return Fraction(math.factorial(int(a))) if a.denominator == 1 and 0 <= a <= 1000 else None
    if kind == "add":
        return sum(parts, Fraction(0))
    if kind == "mul":
        return math.prod(parts, start=Fraction(1)) if sum(map(_bits, parts)) <= 2 * _MOST_BITS else None
    b = parts[1]
    if kind == "div":
        return a / b
    if kind == "binom":
        whole = a.denominator == b.denominator == 1 and 0 <= b <= a <= 2000
        return Fraction(math.comb(int(a), int(b))) if whole else None
    if b.denominator == 1 and abs(b) * _bits(a) <= _MOST_BITS:
        return a ** int(b)
    return None


def _bits(value: Fraction) -> int:
    return value.numerator.bit_length() + value.denominator.bit_length()


def evaluate(tree: Tree, point: Mapping[str, object]):
    """The value of ``tree`` at ``point``, with ± as +; an mpmath number of 60 digits.

    Raises:
        Undefined: There is none, or it is out of bounds.
    """
    try:
        return _evaluate(_context(), tree, point)
    except (ZeroDivisionError, ValueError, OverflowError, ArithmeticError, TypeError) as error:
        raise Undefined(str(error)) from None


def _evaluate(mp, tree: Tree, point: Mapping[str, object]):
    kind = tree[0]
    if kind == "number":
        return mp.mpf(tree[1].numerator) / tree[1].denominator
    if kind == "name":
        return point[tree[1]]
    if kind == "constant":
        return {"e": mp.e, "pi": mp.pi, "i": mp.j, "infinity": mp.inf}[tree[1]] * 1
    parts = [_evaluate(mp, part, point) for part in tree[1:] if isinstance(part, tuple)]
    if kind == "call":
        return _bounded(mp, _call(mp, tree[1], *parts))
    return _bounded(mp, _STEPS[kind](mp, *parts))


def _bounded(mp, value):
    if mp.isnan(value):
        raise Undefined("not a number")
    if value and not mp.isinf(value) and abs(mp.mag(value)) > _MOST_EXPONENT:
        raise Undefined("too large or too small")
    return value


def _power(mp, base, exponent):
    if mp.isinf(base) or mp.isinf(exponent):
        raise Undefined("a power of infinity")
    if base and abs(mp.mag(base)) * (1 + abs(exponent)) > _MOST_EXPONENT:
        raise Undefined("too large or too small")
    if exponent and mp.mag(exponent) > 40:
        raise Undefined("too large an exponent")
    return mp.power(base, exponent)


def _root(mp, base, order):
    """Odd roots of negative numbers are negative numbers."""
    odd = mp.isint(order) and order % 2 == 1
    if odd and not _imaginary(base) and mp.re(base) < 0:
        return -_power(mp, -mp.re(base), 1 / order)
    return _power(mp, base, 1 / order)


def _factorial(mp, n):
    if abs(n) > 10**5:
        raise Undefined("too large")
    return mp.factorial(n)


def _binom(mp, n, k):
    if max(abs(n), abs(k)) > 10**5:
        raise Undefined("too large")
    return mp.binomial(n, k)


_STEPS: dict[str, Callable] = {
    "add": lambda mp, *parts: mp.fsum(parts),
    "mul": lambda mp, *parts: mp.fprod(parts),
    "div": lambda mp, a, b: a / b,
    "neg": lambda mp, a: -a,
    "pm": lambda mp, a: a,
    "abs": lambda mp, a: abs(a),
    "floor": lambda mp, a: mp.floor(a),
    "ceil": lambda mp, a: mp.ceil(a),
    "pow": _power,
    "root": _root,
    "factorial": _factorial,
    "binom": _binom,
}
_NAMES = {"arcsin": "asin", "arccos": "acos", "arctan": "atan", "arccot": "acot", "arcsec": "asec",
          "arccsc": "acsc", "arcsinh": "asinh", "arccosh": "acosh", "arctanh": "atanh", "lg": "log10",
          "log": "log10", "abs": "fabs"}  # fmt: skip


def _call(mp, name: str, argument, base=None):
    if mp.isinf(argument) or (argument and mp.mag(argument) > 500 and name not in ("ln", "log", "lg")):
        raise Undefined("too large an argument")
    if name in ("log", "ln", "lg") and base is not None:
        return mp.log(argument) / mp.log(base)
    function = getattr(mp, _NAMES.get(name, name), None)
    if function is None or base is not None:
        raise Undefined(name)
    return function(argument)


# ---------------------------------------------------------------- comparing


def same(left: Tree, right: Tree) -> bool:
    """True if both have one value wherever both are defined."""
    left, right = aligned(left, right)
    if left == right:
        return True
    here, there = exact(left), exact(right)
    if here is not None and there is not None:
        return here == there
    return everywhere([left, right], close)


def everywhere(trees: list[Tree], holds: Callable[..., bool]) -> bool:
    """True if ``holds`` for the values of ``trees`` at every sample point, and at two at least."""
    variables = sorted(set().union(*map(names, trees)))
    complex_ = any(has(tree, "i") for tree in trees)
    if not variables:
        return _holds(trees, {}, holds, True) is True
    seen = 0
    for point in _points(variables):
        verdict = _holds(trees, point, holds, complex_)
        if verdict is False:
            return False
        seen += verdict is True
    return seen >= 2


def _holds(trees, point, holds, complex_) -> bool | None:
    """None if the point tells nothing: one side is undefined or not real there, and the other is."""
    try:
        values = [evaluate(tree, point) for tree in trees]
    except Undefined:
        return None
    if not complex_ and len({bool(_imaginary(value)) for value in values}) > 1:
        return None
    if any(_noise(value) for value in values):
        values = [_settled(tree, point, value) for tree, value in zip(trees, values, strict=True)]
    return holds(*values)


def _points(variables: list[str]):
    """Sample points: all positive first, then with the signs of plain variables drawn as well."""
    mp = _context()
    generator = random.Random(20250910)
    for number in range(2 * _POINTS):
        point = {}
        for name in variables:
            value = mp.mpf(generator.randint(10**8, 9 * 10**8)) / (3 * 10**8)
            negative = generator.random() < 0.5 and number >= _POINTS and name in _EITHER_SIGN
            point[name] = -value if negative else value
        yield point


def close(a, b) -> bool:
    """True if two numbers agree to 40 digits, relative to their size."""
    mp = _context()
    if mp.isinf(a) or mp.isinf(b):
        return bool(a == b)
    return abs(a - b) <= _RELATIVE * max(abs(a), abs(b))


def _imaginary(value) -> bool:
    return abs(getattr(value, "imag", 0)) > 1e-30 * abs(value)


def _noise(value) -> bool:
    """True for numbers so near 0 that they may be what 60 digits leave of a 0."""
    return 0 < abs(value) < 1e-40


def _settled(tree: Tree, point, value):
    """0 if twice the digits make ``value`` vanish further, else ``value`` itself."""
    mp = _context()
    mp.dps = 2 * _DIGITS
    try:
        again: Any = evaluate(tree, point)
    finally:
        mp.dps = _DIGITS
    return mp.mpf(0) if abs(again) < 1e-20 * abs(value) else value
