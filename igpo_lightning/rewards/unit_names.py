"""Names of units: spellings of each, and how units of one dimension measure each other."""

from __future__ import annotations

from fractions import Fraction

from igpo_lightning.rewards.vocabulary import CURRENCIES

_SPELLINGS = """
nm nanometer nanometre | um micrometer micrometre micron | mm millimeter millimetre mms
cm centimeter centimetre cms | dm decimeter decimetre | m meter metre | km kilometer kilometre kms
pm picometer p.m PM | in inch inches | ft foot feet | yd yard yds | mi mile | nmi | furlong | fathom
ly lightyear | pc parsec | au | nanogram | microgram mcg | mg milligram | g gram gm gms
kg kilogram kilo kgs | quintal | lb lbs | pound | oz ounce | ton tonne | amu
microliter microlitre | ml milliliter millilitre mL cc | centiliter centilitre
deciliter decilitre | l liter litre ltr L | kiloliter kilolitre | gal gallon | qt quart | pt pint
floz | cup | tbsp tablespoon | tsp teaspoon | bushel
picosecond | ns nanosecond | us microsecond | ms millisecond | s sec second secs | min minute mins
h hr hour hrs | day | week wk wks | month mo | yr year yrs | decade | century centuries
millennium millennia | fortnight | Gyr | Myr
cent ¢ | dollar usd USD buck | euro EUR | pounds sterling gbp GBP | yen JPY | rupee INR | peso | won KRW
ruble rouble RUB | yuan renminbi RMB CNY | lira TRY | naira NGN | shekel ILS | baht THB | dong VND
hryvnia UAH | franc CHF | krona kronor SEK | krone kroner
degree deg | rad radian | arcsec arcsecond | arcmin arcminute | rev revolution
am a.m AM | celsius C | F fahrenheit | K kelvin
Hz hertz | kHz kilohertz | MHz megahertz | GHz gigahertz | N newton | kN kilonewton | meganewton
J joule | kJ kilojoule | megajoule | eV electronvolt | keV | MeV | GeV
erg | cal calorie | kcal kilocalorie | milliwatt | W watt | kW kilowatt | MW megawatt | gigawatt
millivolt | V volt | kilovolt | mA milliampere milliamp | A amp ampere
C coulomb | F farad | ohm Omega | T tesla | Pa pascal | hPa hectopascal | kPa kilopascal | MPa megapascal
GPa | atm atmosphere | bar | mbar millibar | torr | mmHg | M molar | mol mole
mmol millimole | dB decibel | bit | byte | kilobyte | megabyte | gigabyte | terabyte | mph
kph kmh kmph | mpg | mps | psi | rpm | rps | sqft | sqm | kWh | MWh | knot
acre | hectare ha | angstrom AA | magnitude mag
unit | percent pct | point pts pt_ | L_sun | vac | photon | atom | pulse | bomb
"""


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

CURRENCY = {"\\dollar": "dollar", **{f"\\{name}": name for name in CURRENCIES.values()}}
"""Command to the currency that it writes."""

MONEY = frozenset([*CURRENCY.values(), "yuan", "franc", "krona"])
"""Currencies that may stand before a number as a code of three letters."""

SYMBOLS = {**CURRENCY, "\\degree": "degree", "\\AA": "angstrom", "'": "prime", '"': "double prime",
           "\\Omega": "ohm", "\\mu": "micro", "\\percent": "percent"}  # fmt: skip

UPRIGHT = {
    "Rs": "rupee", "ng": "nanogram", "ug": "microgram", "ul": "microliter", "uL": "microliter",
    "cl": "centiliter", "cL": "centiliter", "dl": "deciliter", "dL": "deciliter", "kl": "kiloliter",
    "kL": "kiloliter", "ps": "picosecond", "MN": "meganewton", "MJ": "megajoule", "mW": "milliwatt",
    "GW": "gigawatt", "mV": "millivolt", "kV": "kilovolt", "kB": "kilobyte", "KB": "kilobyte",
    "MB": "megabyte", "GB": "gigabyte", "TB": "terabyte", "Wh": "Wh",
}  # fmt: skip
"""Abbreviations in text commands, and behind a number: elsewhere dl/dt, mV² and a segment GB are letters."""

COMPOUNDS = {
    "mph": (("mi", 1), ("h", -1)), "kph": (("km", 1), ("h", -1)), "mps": (("m", 1), ("s", -1)),
    "mpg": (("mi", 1), ("gal", -1)), "rpm": (("rev", 1), ("min", -1)), "rps": (("rev", 1), ("s", -1)),
    "psi": (("lb", 1), ("in", -2)), "sqft": (("ft", 2),), "sqm": (("m", 2),),
    "Wh": (("W", 1), ("h", 1)), "kWh": (("kW", 1), ("h", 1)), "MWh": (("MW", 1), ("h", 1)),
}  # fmt: skip
"""Units in one word that are products of others: powers by name."""


_SCALES = (  # units of one dimension, for quantities such as 5 ft 6 in
    {"dollar": 100, "euro": 100, "cent": 1},
    {"week": 604_800, "day": 86_400, "h": 3600, "min": 60, "s": 1},
    {"yr": 12, "month": 1},
    {"yd": 36, "ft": 12, "in": 1},
    {"lb": 16, "pound": 16, "oz": 1},
    {"km": 1_000_000, "m": 1000, "cm": 10, "mm": 1},
    {"kg": 1000, "g": 1},
    {"l": 1000, "ml": 1},
    {"degree": 60, "arcmin": 1},
)


def unit_name(word: str) -> str | None:
    """The unit that ``word`` spells, or None."""
    bare = word.rstrip(".")
    return UNITS.get(bare) or (UNITS.get(bare.lower()) if len(bare) > 2 else None)


def scale_of(first: str, second: str) -> Fraction | None:
    """Factor from unit ``first`` to unit ``second``; None if they measure different things."""
    scale = next((scale for scale in _SCALES if first in scale and second in scale), None)
    return Fraction(scale[first], scale[second]) if scale else None
