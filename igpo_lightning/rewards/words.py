"""Numbers spelled as words: twenty-one, two and a half, 5 million, six dozen."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

_SMALL = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
seventeen eighteen nineteen
"""
_ROUND = "twenty thirty forty fifty sixty seventy eighty ninety"
_NTH = """
first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth
fifteenth sixteenth seventeenth eighteenth nineteenth
"""
_ROUND_NTH = "twentieth thirtieth fortieth fiftieth sixtieth seventieth eightieth ninetieth"
_ONES = {word: value for value, word in enumerate(_SMALL.split())}
_TENS = {word: 10 * value for value, word in enumerate(_ROUND.split(), start=2)}
SCALES = {
    "hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12,
    "quadrillion": 10**15, "dozen": 12, "score": 20, "hundreds": 100, "thousands": 10**3,
    "millions": 10**6, "billions": 10**9, "trillions": 10**12, "dozens": 12,
}  # fmt: skip
"""Words that multiply the number before them."""

ORDINALS = {word: value for value, word in enumerate(_NTH.split(), start=1)}
ORDINALS |= {word: 10 * value for value, word in enumerate(_ROUND_NTH.split(), start=2)}
ORDINALS |= {"hundredth": 100, "thousandth": 1000, "millionth": 10**6}

_NAMED_PARTS = {word: value for word, value in ORDINALS.items() if 2 < value <= 10 or value in (100, 1000)}
_PARTS = {
    "half": 2, "halves": 2, "quarter": 4, "quarters": 4,
    **_NAMED_PARTS, **{f"{word}s": value for word, value in _NAMED_PARTS.items()},
}  # fmt: skip
NUMBER_WORDS = frozenset({*_ONES, *_TENS, *SCALES, *_PARTS, "a", "an", "and", "negative", "minus"})

_MOST_WORDS = 24


def spelled(words: Sequence[str]) -> Fraction | None:
    """The value of a number in lower-case words, hyphens taken as spaces; None if it is none.

    "three quarters" is a fraction; "third" alone, which may be a place in a row, is no number.
    """
    if not words or len(words) > _MOST_WORDS:
        return None
    if words[0] in ("negative", "minus"):
        value = spelled(words[1:])
        return None if value is None else -value
    for cut in range(1, len(words)):  # "two and a half", "one and three quarters"
        if words[cut] == "and" and words[-1] in _PARTS:
            whole, part = _whole(words[:cut]), _part(words[cut + 1 :])
            if whole is not None and part is not None:
                return whole + part
    value = _whole(words)
    return value if value is not None else _part(words)


def _part(words: Sequence[str]) -> Fraction | None:
    if len(words) < 2 or words[-1] not in _PARTS:
        return Fraction(1, 2) if list(words) == ["half"] else None
    count = Fraction(1) if list(words[:-1]) in (["a"], ["an"], ["one"]) else _whole(words[:-1])
    return None if count is None else count / _PARTS[words[-1]]


def _whole(words: Sequence[str]) -> Fraction | None:
    """Such as "three hundred and five thousand and twelve"; scales must fall from left to right."""
    total, group, last = 0, None, None  # finished scales, the running group below 1000, its last word's kind
    bound = 10**18
    for position, word in enumerate(words):
        if word == "and" and last in ("hundred", "scale") and position + 1 < len(words):
            continue
        if word in ("a", "an") and position == 0 and len(words) > 1 and words[1] in SCALES:
            group, last = 1, "ones"
        elif word in _ONES and (
            last in (None, "hundred", "scale") or (last == "tens" and 0 < _ONES[word] < 10)
        ):
            group, last = (group or 0) + _ONES[word], "ones"
        elif word in _TENS and last in (None, "hundred", "scale"):
            group, last = (group or 0) + _TENS[word], "tens"
        elif word == "hundred" and last in ("ones", "tens") and group and group < 100:
            group, last = group * 100, "hundred"
        elif word in SCALES and group is not None and last != "scale" and SCALES[word] < bound:
            bound = SCALES[word]
            total, group, last = total + group * bound, None, "scale"
        else:
            return None
    return Fraction(total + (group or 0)) if last is not None else None
