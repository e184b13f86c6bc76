"""Plain numerals, compared exactly and at once."""

from __future__ import annotations

import re
from fractions import Fraction

MAX_DIGITS = 4000
"""Longer numerals are compared as texts; Python refuses to read more than 4300 digits."""
_MAX_EXPONENT = 400

_DIGITS = r"(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)"
_DECIMAL = rf"(?:{_DIGITS}(?:\.[0-9]*)?|\.[0-9]+)"
_REPEATING = r"[0-9]*\.[0-9]*\\overline\s*\{[0-9]+\}"
_NUMERAL = re.compile(
    rf"(?P<sign>[+-]?)\s*(?:(?P<over>{_DECIMAL})\s*/\s*(?P<under>{_DECIMAL})"
    rf"|\\frac\s*\{{(?P<top>{_DECIMAL})\}}\s*\{{(?P<bottom>{_DECIMAL})\}}"
    rf"|(?P<repeating>{_REPEATING})|(?P<number>{_DECIMAL})(?:[eE](?P<exponent>[+-]?[0-9]{{1,4}}))?)"
)
_ENOUGH_DIGITS = 6
_SIGNIFICANT = re.compile(
    r"[+-]?([0-9]*)\.([0-9]+)(?:[eE]([+-]?[0-9]{1,3})|\s*\\(?:times|cdot)\s*10\s*\^\s*\{?\s*([+-]?[0-9]{1,3})\s*\}?)?"
)
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
    over = match["over"] or match["top"] or match["number"] or match["repeating"]
    under = match["under"] or match["bottom"] or "1"
    exponent = int(match["exponent"] or 0)
    if abs(exponent) > _MAX_EXPONENT or not (denominator := _fraction(under)):
        return None
    if match["repeating"]:
        value = repeating(*over.split("\\overline"))
    else:
        value = _fraction(over) / denominator * Fraction(10) ** exponent
    return None if value is None else -value if match["sign"] == "-" else value


def decimal(text: str) -> Fraction | None:
    """The value of digits with or without a point and an exponent."""
    mantissa, _, exponent = text.lower().partition("e")
    if len(mantissa) > MAX_DIGITS or abs(int(exponent or 0)) > _MAX_EXPONENT:
        return None
    return _fraction(mantissa) * Fraction(10) ** int(exponent or 0)


def repeating(head: str, cycle: str) -> Fraction | None:
    """0.1666… from its head "0.1" and its cycle "6"."""
    digits = cycle.strip(" {}")
    if not digits.isdigit():
        return None
    places = len(head.partition(".")[2])
    return _fraction(head) + Fraction(int(digits), (10 ** len(digits) - 1) * 10**places)


def rounds_to(text: str, value: Fraction) -> bool:
    """True if the decimal ``text`` is what ``value`` rounds to, and has 6 significant digits or more.

    A value that ends (1/8) must be met exactly, so that 1.9999999 is not 2.
    """
    step = last_place(text)
    if step is None or _ends(value):
        return False
    stated = numeral_of(text)
    return stated is not None and abs(stated - value) <= step / 2


def last_place(text: str) -> Fraction | None:
    """The value of one unit in the last of at least 6 significant decimals; None if there are fewer."""
    match = _SIGNIFICANT.fullmatch(text.strip())
    if match is None or len((match[1] + match[2]).lstrip("0")) < _ENOUGH_DIGITS or len(text) > MAX_DIGITS:
        return None
    return Fraction(10) ** (int(match[3] or match[4] or 0) - len(match[2]))


def numeral_of(text: str) -> Fraction | None:
    """The value of a decimal, which may be followed by a power of ten."""
    match = _SIGNIFICANT.fullmatch(text.strip())
    if match is None:
        return numeral(text)
    value = _fraction(f"{match[1]}.{match[2]}") * Fraction(10) ** int(match[3] or match[4] or 0)
    return -value if text.strip().startswith("-") else value


def written(text: str) -> tuple[Fraction, Fraction, bool] | None:
    """(value, one unit in its last digit, True if nothing follows) of the decimal that begins ``text``.

    Without spaces: ``3.14``, ``-2.0e5``, ``1.50\\times10^{3}``, ``0.707c``.
    """
    match = _WRITTEN.match(text)
    if match is None or len(text) > MAX_DIGITS or not (match["whole"] or match["part"]):
        return None
    part = match["part"] or ""
    step = Fraction(10) ** (int(match["bare"] or match["braced"] or 0) - len(part))
    value = int(f"{match['whole']}{part}") * step
    return (-value if match["sign"] == "-" else value), step, match.end() == len(text)


def _ends(value: Fraction) -> bool:
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return rest == 1


def _fraction(decimal: str) -> Fraction:
    digits = decimal.replace(",", "").rstrip(".")
    return Fraction(digits or "0")
