"""Formulas in running text, and what each part of them is worth.

Two formulas are the same if they have the same value wherever their letters are given the same values; so
every part of a formula is computed at fixed, arbitrary values of its letters, and whoever looks for a
formula compares numbers. That takes microseconds where algebra takes milliseconds, and finds \\sqrt{76}
when asked for 2\\sqrt{19}, and 1+2x when asked for 2x+1. Text that is not understood has no value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from igpo_lightning.data.mentions.notation import BLANK, DEGREE_SIGN, LOOSE, NO_DIGIT
from igpo_lightning.data.mentions.operands import Formula
from igpo_lightning.data.mentions.reader import Reader
from igpo_lightning.data.mentions.values import Value, add, constant, finite, negate

_RELATION = re.compile(
    rf"(?:{BLANK}|[$&]|\\left|\\right)*(?:=|[<>≤≥≈]|\\(?:leq?|geq?|leqslant|geqslant|approx|equiv|lt|gt)"
    r"(?![A-Za-z]))[\s$&]*"
)
_SPACES = rf"(?:{BLANK}|\$)*"
_NUMBER = r"(\d{1,9}(?:\.\d{1,9})?)"
_RATIO = re.compile(
    rf"(?<![\d.,]){_NUMBER}{_SPACES}(?:[:∶]|\\colon|\b(?:to|in|out of)\b){_SPACES}{_NUMBER}(?!\d)"
)


class Found(NamedTuple):
    """The formulas of a text with all their parts, and its equations and inequalities.

    The value of an equation is the difference of its sides.
    """

    formulas: list[Formula]
    equations: list[Formula]


def find(text: str) -> Found:
    """Every formula in ``text``, with each term, factor, fraction, group, and run of terms or factors."""
    readers = [Reader(text)]
    if "\\pm" in text or "\\mp" in text or "±" in text:
        readers.append(Reader(text, plus_minus=-1))
    if DEGREE_SIGN.search(text):
        readers.append(Reader(text, degree=constant(1)))  # 3 · 180° is 540°
    if (closed_up := LOOSE.sub(lambda match: NO_DIGIT.sub("", match[0]).ljust(len(match[0])), text)) != text:
        readers.append(Reader(closed_up))
    equations = [equation for reader in readers for equation in _equations(text, reader.scan())]
    formulas = [formula for reader in readers for formula in reader.formulas]
    return Found(formulas + list(_ratios(text)), equations)


def value_of(text: str) -> Value | None:
    """The value of ``text`` if it is one formula, whole; else None."""
    for ratio in _ratios(text):
        if (ratio.start, ratio.end) == (0, len(text)):
            return ratio.value
    reader = Reader(text)
    found = reader.sum(0)
    if found is None or reader.resume or reader.skip(found.end) < len(text):
        return None
    return found.value if found.value and finite(found.value) else None


def formula_at(text: str, position: int) -> str:
    """The formula that begins at ``position``; an empty text if none does."""
    found = Reader(text).sum(position)
    return text[position : found.end] if found else ""


def equation_of(text: str) -> Value | None:
    """The difference of the two sides if ``text`` is one equation or inequality; else None."""
    sides = Reader(text).scan()
    found = _equations(text, sides)
    whole = len(sides) == 2 and len(found) == 1 and not text[: found[0].start].strip(" $")
    return found[0].value if whole and not text[found[0].end :].strip(" $.") else None


def _equations(text: str, sides: Sequence[Formula]) -> list[Formula]:
    return [
        Formula(left.start, right.end, difference)
        for left, right in pairwise(sides)
        if _RELATION.fullmatch(text, left.end, right.start)
        and (difference := add(left.value, negate(right.value))) is not None
    ]


def _ratios(text: str) -> Iterator[Formula]:
    """Ratios such as 5:6, "5 to 6" and "5 out of 6", which are worth their quotients."""
    for match in _RATIO.finditer(text):
        if below := float(match[2]):
            yield Formula(*match.span(), constant(float(match[1]) / below))
