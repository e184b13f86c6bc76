"""Numbers in running text, in digits and in words, with everything that each may mean."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from igpo_lightning.data.mentions.notation import LOOSE
from igpo_lightning.data.mentions.number_words import in_words

_LONGEST = 60  # digits of a number that is read


class Numeral(NamedTuple):
    """``text[start:end]`` may mean any of ``values``, signs aside: "50%" is 50 and 1/2."""

    start: int
    end: int
    values: frozenset[Fraction]


def numerals(text: str) -> Iterator[Numeral]:
    """Every number in ``text``; they may overlap where digits can be grouped in two ways."""
    yield from _in_digits(text)
    for start, end, values in in_words(text):
        yield from _scaled(text, start, end, values)


# ---------------------------------------------------------------- digits

_PLAIN = re.compile(r"\d+(?:\.\d+)?|\.\d+")
_GROUPED = re.compile(r"(?<!\d)\d{1,3}(?:(?:,\\!|\\!,|\{,\}|\\,|,)\d{3})+(?!\d)(?:\.\d+)?")
_LISTED = re.compile(r"(?<=[({\[])\d{1,3}(?:,\d{3})+(?=[)}\]\\])")  # (107,109) is a pair, too
_DIGITS = re.compile(r"[^\d.]")
_SCALES = {
    "hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12,
    "dozen": 12, "k": 1000, "K": 1000,
}  # fmt: skip
_SCALE = re.compile(
    r"(?:[\s~-]|\\[ ,;:~])*(?:an?\s+)?(?:\\(?:text|textrm|mbox|mathrm)\s*\{\s*)?"
    r"(?:(?P<scale>hundred|thousand|million|billion|trillion|dozen|(?<=\d)[kK])s?\b"
    r"|(?P<hundredth>\\?%|percent\b|per\s?cent\b|cents?\b|¢|\\cent\b))",
    re.IGNORECASE,
)


def _in_digits(text: str) -> Iterator[Numeral]:
    for pattern in (_GROUPED, LOOSE):
        for match in pattern.finditer(text):
            yield from _scaled(text, match.start(), match.end(), _read(match[0]))
    grouped = (match.span() for match in _GROUPED.finditer(text) if not _LISTED.match(text, match.start()))
    inside = next(grouped, None)
    for match in _PLAIN.finditer(text):
        while inside and inside[1] <= match.start():
            inside = next(grouped, None)
        if inside and inside[0] <= match.start():
            continue
        # ".25" may be a fraction, or the full stop of a sentence and the next one's 25.
        yield from _scaled(text, match.start(), match.end(), _read(match[0]) | _read(match[0].lstrip(".")))


def _read(text: str) -> frozenset[Fraction]:
    digits = _DIGITS.sub("", text)
    return frozenset([Fraction(digits)]) if digits.strip(".") and len(digits) <= _LONGEST else frozenset()


def _scaled(text: str, start: int, end: int, values: frozenset[Fraction]) -> Iterator[Numeral]:
    """The number, and what it is together with "million", "%" or "cents" behind it."""
    if not values:
        return
    yield Numeral(start, end, values)
    match = _SCALE.match(text, end)
    if match is None:
        return
    factor = Fraction(1, 100) if match["hundredth"] else Fraction(_SCALES[match["scale"].lower()])
    yield Numeral(start, match.end(), frozenset(value * factor for value in values))
