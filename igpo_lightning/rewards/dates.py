"""Days of the year in one spelling."""

from __future__ import annotations

from collections.abc import Sequence

_SPELLINGS = """
january february march april may june july august september october november december
"""
_MONTHS = _SPELLINGS.split()
_NAMES = {
    **{month[:3]: month for month in _MONTHS},
    "sept": "september",
    **{month: month for month in _MONTHS},
}
_ENDINGS = frozenset(["st", "nd", "rd", "th"])
_LINKS = frozenset(["of", "the"])


def day_of(words: Sequence[str]) -> tuple[str, str] | None:
    """(month, day) of "June 20th", "20 June" and "the 20th of Jun", in lower-case words; else None."""
    months = [_NAMES[word] for word in words if word in _NAMES]
    numbers = [at for at, word in enumerate(words) if word.isdigit()]
    if len(months) != 1 or len(numbers) != 1 or not 1 <= int(words[numbers[0]][:3]) <= 31:
        return None
    rest = [word for word in words[numbers[0] + 1 :] if word not in _NAMES and word not in _LINKS]
    before = [word for word in words[: numbers[0]] if word not in _NAMES and word not in _LINKS]
    if before or (rest and "".join(rest) not in _ENDINGS):
        return None
    return months[0], str(int(words[numbers[0]]))
