"""Plain numerals, compared exactly and at once."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import NamedTuple

MAX_DIGITS = 4000
"""Longer numerals are compared as texts; Python refuses to read more than 4300 digits."""
_MAX_EXPONENT = 400

_DIGITS = r"(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)"
_DECIMAL = rf"(?:{_DIGITS}(?:\.[0-9]*)?|\.[0-9]+)"
_NUMERAL = re.compile(
    rf"(?P<sign>[+-]?)\s*(?:(?P<over>{_DECIMAL})\s*/\s*(?P<under>{_DECIMAL})"
    rf"|\\frac\s*\{{(?P<top>{_DECIMAL})\}}\s*\{{(?P<bottom>{_DECIMAL})\}}"
    r"|(?P<head>[0-9]*\.[0-9]*)\\overline\s*\{(?P<cycle>[0-9]+)\}"
    rf"|(?P<number>{_DECIMAL}(?:[eE][+-]?[0-9]{{1,4}})?))"
)
_ENOUGH_DIGITS = 6
_WRITTEN = re.compile(
    r"(?P<sign>[+-]?)(?P<whole>[0-9]*)(?:\.(?P<part>[0-9]*))?"
    r"(?:(?:[eE]|(?:\\(?:times|cdot)|\*)10\^)(?:(?P<bare>[+-]?[0-9]{1,3})|\{(?P<braced>[+-]?[0-9]{1,3})\}))?"
)


def numeral(text: str) -> Fraction | None:
    """The value of a plain numeral, else None.

    Such as ``1,000``, ``-0.5``, ``2/4``, ``\\frac{1}{2}``, ``3e8`` and ``0.\\overline{3}``.
    """
    if len(text) > MAX_DIGITS or not text or text[0] not in "0123456789.+-\\":
        return None
    match = _NUMERAL.fullmatch(text)
    if match is None:
        return None
    if match["cycle"]:
        value = repeating(match["head"], match["cycle"])
    elif match["number"]:
        value = decimal(match["number"])
    else:
        under = _fraction(match["under"] or match["bottom"])
        value = _fraction(match["over"] or match["top"]) / under if under else None
    return -value if value is not None and match["sign"] == "-" else value


def decimal(text: str) -> Fraction | None:
    """The value of digits with or without a point and an exponent."""
    mantissa, _, exponent = text.lower().partition("e")
    if len(mantissa) > MAX_DIGITS or abs(int(exponent or 0)) > _MAX_EXPONENT:
        return None
    return _fraction(mantissa) * Fraction(10) ** int(exponent or 0)


def repeating(head: str, cycle: str) -> Fraction:
    """0.1666… from its head "0.1" and its cycle "6"."""
    places = len(head.partition(".")[2])
    return _fraction(head) + Fraction(int(cycle), (10 ** len(cycle) - 1) * 10**places)


class Written(NamedTuple):
    """A decimal as it is written.

    Attributes:
        value: Its value.
        step: One unit in its last digit.
        whole: Nothing follows it.
        precise: Nor does it lack a point, or 6 significant digits: a value that rounds to it may be meant.
    """

    value: Fraction
    step: Fraction
    whole: bool
    precise: bool


def written(text: str) -> Written | None:
    """The decimal that begins ``text``, else None.

    Without spaces: ``3.14``, ``-2.0e5``, ``1.50\\times10^{3}``, ``0.707c``.
    """
    match = _WRITTEN.match(text)
    if match is None or len(text) > MAX_DIGITS or not (match["whole"] or match["part"]):
        return None
    part = match["part"] or ""
    digits = f"{match['whole']}{part}"
    step = Fraction(10) ** (int(match["bare"] or match["braced"] or 0) - len(part))
    value = int(digits) * step
    whole = match.end() == len(text)
    precise = whole and bool(part) and len(digits.lstrip("0")) >= _ENOUGH_DIGITS
    return Written(-value if match["sign"] == "-" else value, step, whole, precise)


def rounds_to(text: str, value: Fraction) -> bool:
    """True if the decimal ``text`` is what ``value`` rounds to, and has 6 significant digits or more.

    A value that ends (1/8) must be met exactly, so that 1.9999999 is not 2.
    """
    stated = written(text)
    if stated is None or not stated.precise or _ends(value):
        return False
    return abs(stated.value - value) <= stated.step / 2


def _ends(value: Fraction) -> bool:
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return rest == 1


def _fraction(decimal: str) -> Fraction:
    digits = decimal.replace(",", "").rstrip(".")
    return Fraction(digits or "0")
