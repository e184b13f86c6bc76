"""Formulas in running text, and what each part of them is worth.

Two formulas are the same if they have the same value wherever their letters are given the same values; so
every part of a formula is computed at fixed, arbitrary values of its letters, and whoever looks for a
formula compares numbers. That takes microseconds where algebra takes milliseconds, and finds \\sqrt{76}
when asked for 2\\sqrt{19}, and 1+2x when asked for 2x+1. Text that is not understood has no value.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from igpo_lightning.data.mentions.reader import Formula, Reader
from igpo_lightning.data.mentions.values import Value, add, finite, negate

_RELATION = re.compile(
    r"(?:[\s$&]|\\[,;:!> ]|\\left|\\right)*(?:=|[<>≤≥≈]|\\(?:leq?|geq?|leqslant|geqslant|approx|equiv|lt|gt)"
    r"(?![A-Za-z]))[\s$&]*"
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
    equations = [equation for reader in readers for equation in _equations(text, reader.scan())]
    return Found([formula for reader in readers for formula in reader.formulas], equations)


def value_of(text: str) -> Value | None:
    """The value of ``text`` if it is one formula, whole; else None."""
    reader = Reader(text)
    found = reader.sum(0)
    if found is None or reader.resume or reader.skip(found.end) < len(text):
        return None
    return found.value if found.value and finite(found.value) else None


def equation_of(text: str) -> Value | None:
    """The difference of the two sides if ``text`` is one equation or inequality; else None."""
    sides = Reader(text).scan()
    found = _equations(text, sides)
    whole = len(sides) == 2 and len(found) == 1 and not text[: found[0].start].strip(" $")
    return found[0].value if whole and not text[found[0].end :].strip(" $.") else None


def _equations(text: str, sides: Sequence[Formula]) -> list[Formula]:
    return [
        Formula(left.start, right.end, add(left.value, negate(right.value)))
        for left, right in zip(sides, sides[1:], strict=False)
        if _RELATION.fullmatch(text, left.end, right.start)
    ]
