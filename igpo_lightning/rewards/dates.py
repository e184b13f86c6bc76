"""Days of the year in one spelling."""

from __future__ import annotations

from collections.abc import Sequence

_MONTHS = "january february march april may june july august september october november december"
_NAMES = {name: month for month in _MONTHS.split() for name in (month, month[:3])} | {"sept": "september"}
_ENDINGS = frozenset(["", "st", "nd", "rd", "th"])
_LINKS = frozenset(["of", "the"])


def day_of(words: Sequence[str]) -> tuple[str, str] | None:
    """(month, day) of "June 20th", "20 June" and "the 20th of Jun", in lower-case words; else None."""
    months = [_NAMES[word] for word in words if word in _NAMES]
    day, *ending = [word for word in words if word not in _NAMES and word not in _LINKS] or [""]
    if len(months) != 1 or not day.isdigit() or "".join(ending) not in _ENDINGS:
        return None
    return (months[0], str(int(day))) if 1 <= int(day[:3]) <= 31 else None
