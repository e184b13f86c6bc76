"""Quantities in several units: 5 ft 6 in, "four dollars and fifty cents"."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

from igpo_lightning.data.mentions.notation import BLANK, TEXT
from igpo_lightning.data.mentions.numerals import Numeral
from igpo_lightning.rewards.unit_names import scale_of, unit_name

_UNIT = re.compile(
    rf"(?:{BLANK}|-)*(?:{TEXT})?"
    r"(?:(?P<word>[A-Za-z]+)\.?|(?P<mark>''|\"|'))(?:\s*\})?"
)
_FAR = 16  # characters between two quantities of one
_MARKS = {"'": "ft", "''": "in", '"': "in"}
_BETWEEN = re.compile(rf"(?:{BLANK}|\\text\s*\{{\s*and\s*\}}|,|\band\b(?:\s*\}})?)*(?:\\?\$)?\s*")


class Quantity(NamedTuple):
    start: int
    end: int
    value: Fraction
    unit: str


def amounts(text: str, found: Sequence[Numeral]) -> Iterator[Numeral]:
    """Sums of quantities side by side whose numbers are ``found``, in each of their units.

    4 dollars and 50 cents may mean 4.50 and 450.
    """
    measured = sorted(_measured(text, found))
    for at in range(len(measured)):
        joined = _joined(text, measured, at)
        if len(joined) > 1:
            totals = frozenset(_total(joined, quantity.unit) for quantity in joined)
            yield Numeral(joined[0].start, joined[-1].end, totals, compound=True)


def _joined(text: str, measured: Sequence[Quantity], at: int) -> list[Quantity]:
    """The quantity ``measured[at]`` and those that go on with it in ever smaller units."""
    joined = [measured[at]]
    for position in range(at + 1, len(measured)):
        last, following = joined[-1], measured[position]
        if following.start - last.end > _FAR:
            break
        falls = scale_of(last.unit, following.unit)
        if falls and falls > 1 and _BETWEEN.fullmatch(text, last.end, following.start):
            joined.append(following)
    return joined


def _measured(text: str, found: Sequence[Numeral]) -> Iterator[Quantity]:
    for numeral in found:
        unit, end = "", numeral.end
        if match := _UNIT.match(text, numeral.end):
            unit, end = _MARKS.get(match["mark"] or "") or unit_name(match["word"] or "") or "", match.end()
        if not unit and text[max(0, numeral.start - 2) : numeral.start].rstrip().endswith("$"):
            unit, end = "dollar", numeral.end
        if unit:
            for value in numeral.values:
                yield Quantity(numeral.start, end, value, unit)


def _total(quantities: Sequence[Quantity], unit: str) -> Fraction:
    return sum((q.value * (scale_of(q.unit, unit) or 0) for q in quantities), Fraction(0))
