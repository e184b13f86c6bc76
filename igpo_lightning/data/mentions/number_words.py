"""Numbers in English words, in running text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction

from igpo_lightning.rewards.words import NUMBER_WORDS, ORDINALS, spelled

_LONGEST = 16  # words of one number
_ALONE = {"dozen": Fraction(12), "quarter": Fraction(1, 4), "quarters": Fraction(1, 4)}

_NUMBER = "|".join(sorted({*NUMBER_WORDS, *ORDINALS} - {"a", "an", "and"}, key=len, reverse=True))
_RUN = re.compile(
    rf"\b(?:an?\s+)?(?:{_NUMBER})\b(?:(?:\s?-\s?|,?\s+)(?:and\s+)?(?:an?\s+)?(?:{_NUMBER})\b)*", re.IGNORECASE
)
_WORD = re.compile(r"[A-Za-z]+")


def in_words(text: str) -> Iterator[tuple[int, int, frozenset[Fraction]]]:
    """(start, end, what it may mean) of every number in words, as long as each goes.

    "twenty-first" is 21, "third" is 3 or 1/3, "three and a half" is 7/2, "two dozen" is 24.
    """
    for run in _RUN.finditer(text):
        words = [(m.start(), m.end(), m[0].lower()) for m in _WORD.finditer(text, *run.span())]
        first = 0
        while first < len(words):
            count, values = _longest([name for _, _, name in words[first : first + _LONGEST]])
            if count:
                yield words[first][0], words[first + count - 1][1], values
                if count > 1 and (alone := spelled([words[first][2]])):  # the two of "two thirds"
                    yield words[first][0], words[first][1], frozenset([abs(alone)])
            first += max(count, 1)


def _longest(names: Sequence[str]) -> tuple[int, frozenset[Fraction]]:
    """(words it takes, what it may mean) of the longest number at the beginning of ``names``."""
    for count in range(len(names), 0, -1):
        read = (spelled(names[:count]), _ordinal(names[:count]))
        values = {value for value in read if value is not None}
        if count == 1 and names[0] in ORDINALS and ORDINALS[names[0]] > 2:
            values.add(Fraction(1, ORDINALS[names[0]]))
        if count == 1 and names[0] in _ALONE:
            values.add(_ALONE[names[0]])
        if values:
            return count, frozenset(map(abs, values))
    return 0, frozenset()


def _ordinal(names: Sequence[str]) -> Fraction | None:
    """The value of "first", "twenty-first" or "two hundred and third"."""
    last = ORDINALS.get(names[-1])
    if last is None or len(names) == 1:
        return None if last is None else Fraction(last)
    before = spelled(names[:-1] if names[-2] != "and" else names[:-2])
    if before is None or before.denominator != 1 or before % (10 if last < 10 else 100):
        return None
    return before + last
