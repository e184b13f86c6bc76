"""Units of measurement: which spellings name one unit, and how a phrase of them is read.

Units are compared and not converted: 100 cm is not 1 m, for the unit is part of what was asked. Words that
are no unit ("clips", "blue marbles per week") say what was counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

_SPELLINGS = """
nm nanometer nanometre | um micrometer micrometre micron | mm millimeter millimetre
cm centimeter centimetre | dm decimeter | m meter metre | km kilometer kilometre kms | pm picometer
in inch inches | ft foot feet | yd yard yds | mi mile | ly lightyear | pc parsec | au
mg milligram | g gram gm gms | kg kilogram kilo kgs | lb pound lbs | oz ounce | ton tonne | amu
ml milliliter millilitre mL cc | l liter litre L | gal gallon | qt quart | pt pint | cup | tbsp | tsp
ms millisecond | us microsecond | ns nanosecond | s sec second secs | min minute mins | h hr hour hrs
day | week wk wks | month mo | yr year yrs y | decade | century centuries | fortnight | Gyr | Myr
cent ¢ | dollar usd USD buck | euro | pounds sterling gbp | yen | rupee | peso
degree deg | rad radian | arcsec arcsecond | arcmin arcminute | rev revolution | r
am a.m AM | pm_ p.m PM | celsius C | fahrenheit F | K kelvin
Hz hertz | kHz kilohertz | MHz | GHz | N newton | kN | J joule | kJ kilojoule | eV electronvolt | keV | MeV
erg | cal calorie | kcal kilocalorie | W watt | kW kilowatt | MW | kWh | V volt | mV | A amp ampere | mA
C coulomb | F farad | ohm Omega | T tesla | Pa pascal | kPa | MPa | atm atmosphere | bar | M molar | mol mole
mmol | dB | bit | byte | mph | kph kmh | rpm | acre | hectare ha | angstrom AA | magnitude mag
unit | percent pct | point pts pt_ | L_sun | vac | photon | atom | pulse | bomb
"""
_AMBIGUOUS = {"C", "F", "r", "y", "M", "A", "T", "N", "J", "K", "V", "W", "L", "l", "h", "g", "m", "s"}


def _table() -> dict[str, str]:
    table: dict[str, str] = {}
    for group in _SPELLINGS.replace("\n", "|").split("|"):
        names = group.split()
        for name in names:
            table.setdefault(name, names[0])
            if len(name) > 2 and name.islower():
                table.setdefault(f"{name}s", names[0])
                table.setdefault(name.capitalize(), names[0])
                table.setdefault(f"{name.capitalize()}s", names[0])
    return table


UNITS = _table()
"""Spelling to the unit's own name."""

SYMBOLS = {"\\degree": "degree", "\\dollar": "dollar", "\\euro": "euro", "\\pounds": "pounds", "\\yen": "yen",
           "\\AA": "angstrom", "\\Omega": "ohm", "\\mu": "micro"}  # fmt: skip

_FACTORS = {  # of one dimension, for quantities such as 5 ft 6 in
    **dict.fromkeys(("dollar", "euro"), ("money", Fraction(100))), "cent": ("money", Fraction(1)),
    "h": ("time", Fraction(3600)), "min": ("time", Fraction(60)), "s": ("time", Fraction(1)),
    "day": ("time", Fraction(86400)), "week": ("time", Fraction(604800)),
    "yr": ("age", Fraction(12)), "month": ("age", Fraction(1)),
    "yd": ("feet", Fraction(36)), "ft": ("feet", Fraction(12)), "in": ("feet", Fraction(1)),
    "lb": ("weight", Fraction(16)), "oz": ("weight", Fraction(1)),
    "km": ("metre", Fraction(10**6)), "m": ("metre", Fraction(1000)), "cm": ("metre", Fraction(10)),
    "mm": ("metre", Fraction(1)), "kg": ("gram", Fraction(1000)), "g": ("gram", Fraction(1)),
    "l": ("litre", Fraction(1000)), "ml": ("litre", Fraction(1)),
    "degree": ("angle", Fraction(60)), "arcmin": ("angle", Fraction(1)),
}  # fmt: skip
_POWERS = {"square": 2, "sq": 2, "squared": 2, "cubic": 3, "cu": 3, "cubed": 3}
_LINKS = frozenset("of a an the each every in on for and".split()) - {"and", "for", "in", "on"}
_NO_UNIT = frozenset(
    "or and if else otherwise maybe perhaps possibly probably not no unless when where while but than less "
    "except plus minus times divided over with without either both neither nor to from through between "
    "mod modulo remainder base squared cubed factorial choose is are was equals equal solution solutions "
    "undefined infinity infinite e i".split()
)


@dataclass(frozen=True)
class Unit:
    """What a number counts.

    Attributes:
        powers: Known units and their powers, sorted: m/s² is (("m", 1), ("s", -2)).
        words: Other words, in lower case and singular.
    """

    powers: tuple[tuple[str, int], ...] = ()
    words: tuple[str, ...] = ()

    def agrees(self, other: Unit) -> bool:
        """True if both may stand after one number: neither says what the other denies.

        A missing unit agrees with every one. Of words, one side may say more than the other.
        """
        if self.powers and other.powers and self.powers != other.powers:
            return False
        mine, theirs = set(self.words), set(other.words)
        if (self.powers and not other.powers and theirs) or (other.powers and not self.powers and mine):
            return not (self.powers and other.powers) and bool(mine & theirs)
        return not mine or not theirs or mine <= theirs or theirs <= mine


def unit_name(word: str) -> str | None:
    """The unit that ``word`` spells, or None."""
    bare = word.rstrip(".")
    return UNITS.get(bare) or (UNITS.get(bare.lower()) if len(bare) > 2 else None)


def scale_of(first: str, second: str) -> Fraction | None:
    """How many of unit ``second`` are one of unit ``first``; None if they measure different things."""
    here, there = _FACTORS.get(first), _FACTORS.get(second)
    return here[1] / there[1] if here and there and here[0] == there[0] else None


def read_unit(pieces: Sequence[str]) -> Unit | None:
    """The unit that words, signs and exponents spell, such as ``["m", "/", "s", "^", "2"]``.

    None if they spell none: "or", "if" and numbers change what is said.
    """
    powers: dict[str, int] = {}
    words: list[str] = []
    sign, pending, last = 1, 1, None
    at = 0
    while at < len(pieces):
        piece = pieces[at]
        lower = piece.lower().strip(".")
        if piece in ("/", "per") or lower == "per":
            sign, last = -1, None
        elif piece == "^":
            exponent = _exponent(pieces[at + 1 :])
            if exponent is None or last is None:
                return None
            power, used = exponent
            powers[last] += (power - 1) * (1 if powers[last] > 0 else -1)
            at += used
        elif lower in ("squared", "cubed") and last is not None:
            powers[last] += (_POWERS[lower] - 1) * (1 if powers[last] > 0 else -1)
        elif lower in _POWERS and last is None and at + 1 < len(pieces):
            pending = _POWERS[lower]
        elif lower in _POWERS and at + 1 < len(pieces):
            pending = _POWERS[lower]
        elif name := SYMBOLS.get(piece) or unit_name(piece):
            if name == "micro" and at + 1 < len(pieces):
                name, at = f"u{unit_name(pieces[at + 1]) or pieces[at + 1]}", at + 1
            powers[name] = powers.get(name, 0) + sign * pending
            sign, pending, last = (sign if sign < 0 and _after_slash(pieces, at) else 1), 1, name
        elif piece in ("*", "\\cdot", "\\times", "(", ")", "[", "]", "-", ".", ",", "{", "}"):
            last = last if piece in ("{", "}") else None
        elif lower in _LINKS:
            pass
        elif piece[:1].isalpha() and lower not in _NO_UNIT:
            words.append(_singular(lower))
            last, sign, pending = None, 1, 1
        else:
            return None
        at += 1
    if not powers and not words:
        return None
    powers.pop("unit", None) if not words else None
    powers.pop("percent", None)
    return Unit(tuple(sorted((n, p) for n, p in powers.items() if p)), tuple(sorted(set(words))))


def _after_slash(pieces: Sequence[str], at: int) -> bool:
    return at + 1 < len(pieces) and pieces[at + 1] in ("*", "\\cdot") and "(" in pieces[:at]


def _exponent(pieces: Sequence[str]) -> tuple[int, int] | None:
    """(exponent, pieces it takes): ``2``, ``-1``, ``{ - 1 }``."""
    body = []
    for count, piece in enumerate(pieces, start=1):
        if piece in ("{", "}", "(", ")", "+"):
            if piece in ("}", ")"):
                break
            continue
        body.append(piece)
        if piece.isdigit() and (count == len(pieces) or pieces[count] not in ("}", ")")):
            break
    text = "".join(body)
    return (int(text), count) if text.lstrip("-").isdigit() and len(text) <= 3 else None


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "sses", "xes")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 2 else word
