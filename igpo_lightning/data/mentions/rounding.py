"""Decimals that are a value rounded or cut off."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction

from igpo_lightning.data.mentions.numerals import Numeral
from igpo_lightning.data.mentions.targets import Targets

_DECIMAL = re.compile(r"(?P<whole>\d[\d,{}\\!]*)?(?:\.(?P<places>\d+))?")
_GOES_ON = re.compile(r"\s*(?:\.\.|…|\\[lc]?dots|\(?(?:repeating|recurring)\b)")
_MEANT = 1.000001  # of the half or whole last place


class Rounded:
    """Knows the decimals of the values that do not end, and those that round to a decimal answer."""

    def __init__(self, aims: Targets) -> None:
        constants = [abs(v[0].real) for v in aims.formulas if v[0] == v[1] and not v[0].imag]
        self.values = [value for value in constants if value % 1]
        self.decimals = [(float(n), step) for n in aims.numbers if (step := _last_place(n))]

    def tells(self, text: str, numeral: Numeral) -> bool:
        """True if a decimal of three digits or more is one of the values rounded, or rounds to one.

        Percent and "million" behind it count: 33.3% and 0.333 are both 1/3. One that goes on ("0.66...")
        may have two digits.
        """
        return bool(self.values) and any(self._is_near(*given) for given in _decimals(text, numeral))

    def _is_near(self, stated: float, step: float, is_decimal: bool) -> bool:
        if any(_rounds(stated, value, step) for value in self.values):
            return True
        coarser = [(value, own) for value, own in self.decimals if step < 0.99 * own] if is_decimal else []
        return any(_rounds(stated, value, own, cut=False) for value, own in coarser)


def _decimals(text: str, numeral: Numeral) -> Iterator[tuple[float, float, bool]]:
    """(value, worth of its last digit, True for a decimal) of what the number may mean."""
    match = _DECIMAL.match(text, numeral.start, numeral.end)
    if match is None or any(map(str.isdigit, text[match.end() : numeral.end])):
        return
    digits = "".join(filter(lambda sign: sign in "0123456789.", match[0]))
    number, places = Fraction(digits or 0), len(match["places"] or "")
    scaled = match.end() < numeral.end
    enough = 2 if _GOES_ON.match(text, numeral.end) else 3
    if not number or len(digits.replace(".", "").lstrip("0")) < enough or (places < 2 and not scaled):
        return
    for value in numeral.values:
        factor = value / number
        if scaled or factor == 1:  # .25 may be 25, but not as a decimal
            yield float(value), float(factor) * 10.0**-places, places > 0


def _rounds(stated: float, value: float, step: float, cut: bool = True) -> bool:
    """True if the two are the same when rounded to ``step``, or if ``stated`` is ``value`` cut off there."""
    if abs(stated - value) <= 0.5 * _MEANT * step:
        return True
    return cut and 0 <= value - stated < step


def _last_place(number: Fraction) -> float | None:
    """Worth of the last digit of a decimal; None of a whole number and of what has no end."""
    places = (places for places in range(1, 7) if 10**places % number.denominator == 0)
    return 10.0 ** -next(places, 99) if number.denominator > 1 else None
