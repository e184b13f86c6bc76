"""What math-verify overlooks: it drops units and the base of a number, and lets letters change places.

Each is compared only where both answers say it: "5" is 5 cm, and "101" is 101 in base 2, for a question
names its unit or base. Units of more than one word, and powers of units, are not compared.
"""

from __future__ import annotations

import re

_SPELLINGS = (
    "mm millimeter millimetre | cm centimeter centimetre | m meter metre | km kilometer kilometre | "
    "in inch inche | ft foot feet | yd yard | mi mile | mg milligram | g gram | kg kilogram | lb pound | "
    "oz ounce | ml milliliter millilitre | l liter litre | s sec second | min minute | h hr hour | day | "
    "week | month | yr year | cent | dollar | degree | radian | am | pm"
)  # without the plural's s
_UNITS = {word: names.split()[0] for names in _SPELLINGS.split("|") for word in names.split()}
_LAST_WORD = re.compile(r"[\d})]\s*([A-Za-z][A-Za-z.]*)\Z")
_BASED = re.compile(r"[0-9A-Fa-f.]+\s*_\s*\{?\s*([0-9]{1,2})\s*\}?")
_FIGURE = re.compile(r"[A-Z]{3,}")  # \angle ABC is not the product of A, B and C


def contradict(text: str, other: str) -> bool:
    """True if the two say different units, times of day, bases, or figures; the rest is not compared."""
    pairs = ((find(text), find(other)) for find in (_unit, _base, _figures))
    return any(here and there and here != there for here, there in pairs)


def _unit(text: str) -> str | None:
    match = _LAST_WORD.search(text)
    if match is None:
        return None
    word = match[1].replace(".", "").lower()
    return _UNITS.get(word) or _UNITS.get(word.removesuffix("s"))


def _base(text: str) -> str | None:
    match = _BASED.fullmatch(text)
    return match[1] if match else None


def _figures(text: str) -> list[str]:
    return _FIGURE.findall(text)
