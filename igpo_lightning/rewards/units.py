"""Units of measurement, and a reader of phrases such as "m / s ^ 2".

Units are compared and not converted: 100 cm is not 1 m, for the unit is part of what was asked. Words that
are no unit ("clips", "blue marbles per week") say what was counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from igpo_lightning.rewards.unit_names import COMPOUNDS, SYMBOLS, UPRIGHT, unit_name
from igpo_lightning.rewards.words import NUMBER_WORDS

_PAIRS = {("light", "yr"): "ly", ("nautical", "mi"): "nmi", ("fluid", "oz"): "floz", ("fl", "oz"): "floz",
          ("per", "cent"): "percent"}  # fmt: skip
_TIMES = frozenset(["s", "min", "h", "day", "week", "month", "yr"])

_POWERS = {"square": 2, "sq": 2, "squared": 2, "cubic": 3, "cu": 3, "cubed": 3}
_LINKS = frozenset(["of", "a", "an", "the", "and"])
_SIGNS = frozenset(["*", "\\cdot", "\\times", "(", ")", "[", "]", "-", ".", "{", "}"])
_WORDS = """
or if else otherwise maybe perhaps possibly probably not no unless when where while but than less except plus
minus divided over with without either both neither nor to from through between mod modulo remainder
base squared cubed factorial choose is are was equals equal undefined infinity infinite th st nd rd
"""
OTHER_MEANING = frozenset(_WORDS.split()) | NUMBER_WORDS - {"a", "an", "and", "quarter", "quarters", "score"}
"""Words that change what a number says, and so are no part of a unit."""


_TEMPERATURES = frozenset({(("celsius", 1),), (("F", 1),)})


@dataclass(frozen=True)
class Unit:
    """Thing that a number counts.

    Attributes:
        powers: Known units and their powers, sorted: m/s² is (("m", 1), ("s", -2)).
        words: Other words, in lower case and singular.
    """

    powers: tuple[tuple[str, int], ...] = ()
    words: tuple[str, ...] = ()

    def agrees(self, other: Unit) -> bool:
        """True if both may stand after one number: neither says what the other denies.

        A missing unit agrees with every one, and 40° with a gold answer of 40°F. Of words, one side may
        say more than the other. Pounds in words may be money or a weight.
        """
        if self.powers and other.powers and self.powers != other.powers:
            vague = self.powers == (("degree", 1),) and other.powers in _TEMPERATURES
            return vague or _pounds(self, other) or _generic(self, other) or _generic(other, self)
        mine, theirs = set(self.words), set(other.words)
        if (self.powers and not other.powers and theirs) or (other.powers and not self.powers and mine):
            return not (self.powers and other.powers) and bool(mine & theirs)
        return not mine or not theirs or mine <= theirs or theirs <= mine


def _generic(unit: Unit, other: Unit) -> bool:
    """True for square units beside any square of one unit."""
    powers = [power for name, power in unit.powers if name == "unit"]
    return powers == [power for _, power in other.powers] and len(unit.powers) == 1


def _pounds(unit: Unit, other: Unit) -> bool:
    """True if both are the same once "pound" is read as the weight, or as the money."""
    here, there = dict(unit.powers), dict(other.powers)
    return any(_renamed(here, name) == _renamed(there, name) for name in ("lb", "pounds"))


def _renamed(powers: dict[str, int], name: str) -> dict[str, int]:
    return {name if key == "pound" else key: power for key, power in powers.items()}


def read_unit(pieces: Sequence[str]) -> Unit | None:
    """The unit that words, signs and exponents spell, such as ``["m", "/", "s", "^", "2"]``.

    None if they spell none: "or", "if" and numbers change what is said.
    """
    reader = _UnitReader(_paired(_without_fractions(pieces)))
    return reader.unit() if reader.read() else None


class _UnitReader:
    """Collects the units of a phrase from left to right."""

    def __init__(self, pieces: list[str]) -> None:
        self.pieces, self.at = pieces, 0
        self.powers: dict[str, int] = {}
        self.words: list[str] = []
        self.sign, self.power = 1, 1  # of the unit that comes next
        self.last: str | None = None  # the unit that an exponent belongs to
        self.grouped = False  # within the parentheses below a slash

    def read(self) -> bool:
        """Take everything in; False if something is no part of a unit."""
        while self.at < len(self.pieces):
            piece = self.pieces[self.at]
            self.at += 1
            if not (self._sign(piece) or self._raised(piece) or self._unit(piece) or self._word(piece)):
                return False
        return bool(self.powers or self.words)

    def unit(self) -> Unit:
        powers = {
            name: power for name, power in self.powers.items() if power and (name, power) != ("unit", 1)
        }
        if "degree" in powers and powers.keys() & {"celsius", "F", "K"}:
            del powers["degree"]
        return Unit(tuple(sorted(powers.items())), tuple(sorted(set(self.words))))

    def _sign(self, piece: str) -> bool:
        if piece == "/" or piece.lower() == "per":
            self.sign, self.last = -1, None
            self.grouped = self.pieces[self.at : self.at + 1] == ["("]
        elif piece in ("a", "an") and self._counted() and unit_name(self._next()) in _TIMES:
            self.sign, self.last = -1, None  # miles an hour
        elif piece.lower() == "and":
            return 1 < self.at < len(self.pieces)
        elif piece in _SIGNS:
            self.last = self.last if piece in "{}" else None
            if piece == ")" and self.grouped:
                self.grouped, self.sign = False, 1
        elif piece == "in" and self._before_word():
            self.last = None  # "in total" is no inch
        else:
            return piece.lower() in _LINKS
        return True

    def _next(self) -> str:
        return self.pieces[self.at] if self.at < len(self.pieces) else ""

    def _counted(self) -> bool:
        """True if a thing stands before the piece in hand, and not "of"."""
        before = self.pieces[self.at - 2] if self.at > 1 else ""
        return before[:1].isalpha() and before.lower() not in _LINKS

    def _before_word(self) -> bool:
        after = self._next()
        return after[:1].isalpha() and unit_name(after) is None and after.lower() not in _POWERS

    def _raised(self, piece: str) -> bool:
        """Exponents, and "square" before or "squared" after a unit."""
        lower = piece.lower().strip(".")
        if piece == "^":
            exponent = _exponent(self.pieces[self.at :])
            if exponent is None or self.last is None:
                return False
            self._raise(exponent[0])
            self.at += exponent[1]
        elif lower in ("squared", "cubed") and self.last is not None:
            self._raise(_POWERS[lower])
        elif lower in _POWERS and lower not in ("squared", "cubed") and self.at < len(self.pieces):
            self.power = _POWERS[lower]
        else:
            return False
        return True

    def _raise(self, power: int) -> None:
        assert self.last is not None
        self.powers[self.last] += (power - 1) * (1 if self.powers[self.last] > 0 else -1)

    def _unit(self, piece: str) -> bool:
        name = SYMBOLS.get(piece) or UPRIGHT.get(piece) or unit_name(piece)
        if name is None:
            return False
        if name == "micro":
            after = self._next()
            if not after[-1:].isalpha():
                return False
            spelled = f"u{unit_name(after) or after}"
            name, self.at = UPRIGHT.get(spelled, spelled), self.at + 1
        for part, power in COMPOUNDS.get(name, ((name, 1),)):
            self.powers[part] = self.powers.get(part, 0) + self.sign * self.power * power
        self.power, self.last = 1, None if name in COMPOUNDS else name
        self.sign = self.sign if self.grouped else 1
        return True

    def _word(self, piece: str) -> bool:
        lower = piece.lower().strip(".")
        if not piece[:1].isalpha() or len(piece) < 2 or lower in OTHER_MEANING or lower == "and":
            return False
        self.words.append(_singular(lower))
        self.last, self.sign, self.power = None, 1, 1
        return True


def _paired(pieces: list[str]) -> list[str]:
    """Units of two words as one: light years, light-years, fl. oz; and kilowatt-hours as two."""
    flat: list[str] = []
    for piece in chain.from_iterable(_apart(piece) for piece in pieces if piece != "."):
        while len(flat) > 1 and flat[-1] == "-" and piece[:1].isalpha() and flat[-2][-1:].isalpha():
            flat.pop()
        pair = _PAIRS.get((flat[-1].lower(), unit_name(piece) or "")) if flat else None
        flat[len(flat) - bool(pair) :] = [pair or piece]
    return flat


def _apart(word: str) -> list[str]:
    first, _, second = word.partition("-")
    units = unit_name(second) is not None and (unit_name(first) is not None or first.lower() == "light")
    return [first, second] if units else [word]


def _without_fractions(pieces: Sequence[str]) -> list[str]:
    """``\\frac{m}{s}`` as m/s."""
    flat = list(pieces)
    while "\\frac" in flat:
        at = flat.index("\\frac")
        try:
            middle = flat.index("}", at)
            end = flat.index("}", middle + 1)
        except ValueError:
            return flat
        if flat[at + 1] != "{" or flat[middle + 1] != "{":
            return flat
        flat[at : end + 1] = [*flat[at + 2 : middle], "/", "(", *flat[middle + 2 : end], ")"]
    return flat


def _exponent(pieces: Sequence[str]) -> tuple[int, int] | None:
    """(exponent, pieces it takes): ``2``, ``-1``, ``{ - 1 }``, of which the brace may be left."""
    for count, piece in enumerate(pieces[:4], start=1):
        if piece in ("1", "2", "3", "4"):
            return (-int(piece) if "-" in pieces[:count] else int(piece)), count
        if piece not in ("{", "(", "-"):
            break
    return None


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "sses", "xes")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 2 else word
