"""Numbers in English words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction

_UNITS = {
    word: value
    for value, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen".split()
    )
}
_TENS = {
    word: 10 * value
    for value, word in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), start=2)
}
_SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12}
_ORDINALS = {
    "first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8,
    "ninth": 9, "tenth": 10, "eleventh": 11, "twelfth": 12, "hundredth": 100, "thousandth": 1000,
    "millionth": 10**6,
}  # fmt: skip
_ORDINALS |= {word + "th": value for word, value in _UNITS.items() if value > 12}
_ORDINALS |= {word[:-1] + "ieth": value for word, value in _TENS.items()}
_DENOMINATORS = {"half": 2, "halves": 2, "quarter": 4}
_DENOMINATORS |= {word: value for word, value in _ORDINALS.items() if value > 2}

_NUMBER = "|".join(sorted({*_UNITS, *_TENS, *_SCALES, *_ORDINALS, *_DENOMINATORS}, key=len, reverse=True))
_RUN = re.compile(
    rf"\b(?:{_NUMBER})s?\b(?:(?:\s?-\s?|,?\s+)(?:and\s+)?(?:an?\s+)?(?:{_NUMBER})s?\b)*", re.IGNORECASE
)
_WORD = re.compile(r"[A-Za-z]+")
_LONGEST = 16  # words of one number

_Word = tuple[int, int, str]


def in_words(text: str) -> Iterator[tuple[int, int, frozenset[Fraction]]]:
    """(start, end, what it may mean) of every number in words, as long as each goes.

    "twenty-first" is 21, "third" is 3 or 1/3, "three and a half" is 7/2, "two dozen" is 24.
    """
    for run in _RUN.finditer(text):
        words = [(m.start(), m.end(), _singular(m[0].lower())) for m in _WORD.finditer(text, *run.span())]
        first = 0
        while first < len(words):
            count, values = _longest(words[first : first + _LONGEST])
            if count:
                yield words[first][0], words[first + count - 1][1], values
            first += max(count, 1)


def _singular(word: str) -> str:
    return word[:-1] if word.endswith("s") and word != "halves" else word


def _longest(words: Sequence[_Word]) -> tuple[int, frozenset[Fraction]]:
    """(words it takes, what it may mean) of the longest number at the beginning of ``words``."""
    names = [name for _, _, name in words]
    count, value = _cardinal(names)
    rest = names[count:]
    if not count:
        if rest[0] in ("a", "an", "and"):
            return 0, frozenset()
        if rest[0] in _DENOMINATORS and rest[1:2] in (["a"], ["an"]) and rest[2:3] and rest[2] in _SCALES:
            return 3, frozenset([Fraction(_SCALES[rest[2]], _DENOMINATORS[rest[0]])])  # half a dozen
        return 1, _meanings(rest[0])
    if rest and rest[0] in _DENOMINATORS:  # two thirds; or the twenty-third
        values = {Fraction(value, _DENOMINATORS[rest[0]])}
        if value % 10 == 0 and rest[0] in _ORDINALS:
            values.add(Fraction(value + _ORDINALS[rest[0]]))
        return count + 1, frozenset(values)
    if rest and rest[0] in _ORDINALS:
        return count + 1, frozenset([Fraction(value + _ORDINALS[rest[0]])])
    if rest[:1] == ["and"]:  # three and a half, two and three quarters
        article = rest[1:2] in (["a"], ["an"])
        more, top = (1, 1) if article else _cardinal(rest[1:])
        below = rest[1 + more : 2 + more]
        if more and below and below[0] in _DENOMINATORS:
            return count + more + 2, frozenset([value + Fraction(top, _DENOMINATORS[below[0]])])
    return count, frozenset([Fraction(value)])


def _meanings(word: str) -> frozenset[Fraction]:
    """Of a word that is no cardinal: the third, or a third."""
    values = {Fraction(_ORDINALS[word])} if word in _ORDINALS else set()
    if word in _DENOMINATORS:
        values.add(Fraction(1, _DENOMINATORS[word]))
    return frozenset(values)


def _cardinal(names: Sequence[str]) -> tuple[int, int]:
    """(words it takes, value) of the longest cardinal number at the beginning of ``names``."""
    total = group = count = 0
    open_place = 10**15  # the next part must be smaller than this
    for position, name in enumerate(names):
        if name == "and":
            if not count or open_place < 100 or not names[position + 1 : position + 2]:
                break
            continue
        value = _UNITS.get(name, _TENS.get(name))
        if value is not None:
            if value >= open_place:
                break
            group, open_place = group + value, 10 if name in _TENS else 1
        elif name in _SCALES and (count == 0 or group):
            scale = _SCALES[name]
            if scale == 100:
                group, open_place = 100 * (group or 1), 100
            else:
                total, group, open_place = total + scale * (group or 1), 0, scale if scale > 12 else 1
        else:
            break
        count = position + 1
    return count, total + group
