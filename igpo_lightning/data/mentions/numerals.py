"""Numbers in running text, in digits and in words, with everything that each may mean."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from igpo_lightning.data.mentions.notation import BLANK, FRACTION, GROUPED, LOOSE, TEXT
from igpo_lightning.data.mentions.number_words import in_words
from igpo_lightning.rewards.words import SCALES, spelled

_LONGEST = 60  # digits of a number that is read


class Numeral(NamedTuple):
    """``text[start:end]`` may mean any of ``values``, signs aside: "50%" is 50 and 1/2.

    ``compound`` if it is the sum of several numbers, as 1 1/2 is.
    """

    start: int
    end: int
    values: frozenset[Fraction]
    compound: bool = False


def numerals(text: str) -> Iterator[Numeral]:
    """Every number in ``text``; they may overlap where it can be read in several ways."""
    yield from _in_digits(text)
    for start, end, values in in_words(text):
        yield from _scaled(text, start, end, values)
    for match in _ONE.finditer(text):
        yield from _with_part(text, *match.span(), frozenset([Fraction(1)]))


# ---------------------------------------------------------------- digits

_PLAIN = re.compile(r"\d+(?:\.\d+)?|\.\d+")
_GROUPED = re.compile(rf"(?<!\d){GROUPED}")
_ONE_BY_ONE = re.compile(r"\d(?:[ \t]+\d)+")
_LISTED = re.compile(r"(?<=[({\[])\d{1,3}(?:,\d{3})+(?=[)}\]\\])")  # (107,109) is a pair, too
_DIGITS = re.compile(r"[^\d.]")
_OF_NUMBERS = frozenset("0123456789.,")


def _in_digits(text: str) -> Iterator[Numeral]:
    for pattern in (_GROUPED, LOOSE):
        for match in pattern.finditer(text):
            yield from _scaled(text, match.start(), match.end(), _read(match[0]))
    for match in _ONE_BY_ONE.finditer(text):  # 1 1 0 1, in columns
        start, end = match.span()
        alone = text[start - 1 : start] not in _OF_NUMBERS and text[end : end + 1] not in _OF_NUMBERS
        if alone and len(digits := _read(match[0])) and max(digits) >= 1000:
            yield Numeral(start, end, digits)
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


# ---------------------------------------------------------------- what stands behind a number

_FACTORS = SCALES | {"k": 1000}
_SCALE = re.compile(
    rf"(?:{BLANK}|-)*(?:an?\s+)?(?:{TEXT})?"
    r"(?:(?P<scale>hundred|thousand|million|billion|trillion|dozen|(?<=\d)[kK])s?\b"
    r"|(?P<hundredth>\\?%|percent\b|per\s?cent\b|cents?\b|¢|\\cent\b))",
    re.IGNORECASE,
)
_AND = r"[\s~]*[\s~-]and[\s~-]+"
_WORDS = (
    r"(?:(?:an?|one|two|three|four|five|six|seven|eight|nine)[\s-]+)?"
    r"(?:half|thirds?|quarters?|fourths?|fifths?|sixths?|sevenths?|eighths?|ninths?|tenths?|hundredths?)\b"
)
_PART = re.compile(
    rf"(?:(?:[\s~-]+[A-Za-z]{{2,20}})?{_AND}|(?P<beside>{BLANK}*))"
    rf"(?:{FRACTION}|(?P<slash>(?<=[\s~-])\d{{1,9}}\s?/\s?\d{{1,9}}(?!\d))|(?P<words>{_WORDS}))",
    re.IGNORECASE,
)
_ONE = re.compile(rf"\ban?(?=[\s~-]+[A-Za-z]{{2,20}}{_AND})", re.IGNORECASE)


def _scaled(text: str, start: int, end: int, values: frozenset[Fraction]) -> Iterator[Numeral]:
    """The number, and what it is together with "million", "%" or "cents" behind it, or a fraction."""
    if not values:
        return
    yield from _times(text, Numeral(start, end, values))
    yield from _with_part(text, start, end, values)


def _times(text: str, number: Numeral) -> Iterator[Numeral]:
    yield number
    match = _SCALE.match(text, number.end)
    if match is None:
        return
    factor = Fraction(1, 100) if match["hundredth"] else Fraction(_FACTORS[match["scale"].lower()])
    values = frozenset(value * factor for value in number.values)
    yield number._replace(end=match.end(), values=values)


def _with_part(text: str, start: int, end: int, values: frozenset[Fraction]) -> Iterator[Numeral]:
    """The number with its fraction: 2 1/2, "2 and a half", "an hour and a quarter"."""
    match = _PART.match(text, end)
    part = match and (match["words"] is None or match["beside"] is None) and _part(match)
    if match and part:
        sums = frozenset(value + part for value in values if value.denominator == 1)
        yield from _times(text, Numeral(start, match.end(), sums, compound=True))


def _part(match: re.Match[str]) -> Fraction | None:
    if match["words"]:
        return spelled(match["words"].lower().replace("-", " ").split())
    top, bottom = match["slash"].split("/") if match["slash"] else filter(None, match.groups()[1:5])
    bottom = bottom.strip()
    return Fraction(int(top), int(bottom)) if len(top + bottom) <= _LONGEST and int(bottom) else None
