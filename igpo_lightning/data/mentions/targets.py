"""Targets of the search for mentions: an answer's values, words and text, and those of its parts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction

from igpo_lightning.data.mentions.formulas import equation_of, value_of
from igpo_lightning.data.mentions.numerals import numerals
from igpo_lightning.data.mentions.quantities import amounts
from igpo_lightning.data.mentions.values import Value, constant
from igpo_lightning.rewards.phrases import ALL_REALS, spellings_of
from igpo_lightning.rewards.vocabulary import CURRENCIES

_LONGEST = 300  # characters of an answer that is read; a longer one is only looked for as it stands
_LARGEST_DENOMINATOR = 10**5

_TEXT = re.compile(
    r"\\(?:text(?:bf|rm|it|sf|tt|normal|up)?|mbox|mathrm|mathbf|mathit|mathsf|operatorname|emph|boxed|fbox)"
    r"\s*\{([^{}]*)\}"
)
_NOISE = re.compile(r"\\left(?![A-Za-z])|\\right(?![A-Za-z])|(?<!\\)\\[!,;: ]|\\?\$|~|\*\*|\\displaystyle")
_ASSIGNED = re.compile(r"[^=<>]{0,12}(?:=|\\approx|≈|\\in(?![a-z]))\s*(?P<value>[^=<>]+)")
_UNIT = re.compile(r"(?:\\(?:text(?:rm|bf|normal|up)?|mbox|mathrm)\s*\{[^{}]*\}(?:\^\{?[23]\}?)?\s*)+\Z")
_EQUALS = re.compile(r"=|\\approx|≈|\\equiv")
_BESIDE_A_NUMBER = re.compile(
    r"(?:[A-Za-z .,'\-+−]|\\?%"
    rf"|\\(?:circ|degree|cent|cdot|mu|Omega|{'|'.join(CURRENCIES.values())})(?![A-Za-z])"
    r"|\^\{?\s*(?:\\circ|-?[1-4])\s*\}?|/-?(?=\s*(?:[A-Za-z]|\Z))"
    r"|\\[dt]?frac\s*\{[A-Za-z ]+\}\s*\{[A-Za-z ]+(?:\^\{?[2-4]\}?)?\s*\}"
    r"|[$£€¥°²³])*"
)
_BRACKET = re.compile(r"(?:\\?\{|[(\[])([^()\[\]]{1,80},[^()\[\]]{1,80}?)(?:\\?\}|[)\]])")
_BASED = re.compile(r"[-+−]?\s*([0-9A-Fa-f.]+)\s*_\s*\{?\s*\d{1,2}\s*\}?")
_OPTION = re.compile(r"\(?\s*([A-Za-z])\s*\)?")
_INFINITE = re.compile(r"[-+]?\s*\\?infty|[-+]?\s*(?:∞|oo)")
_RATIO = re.compile(r"\d+(?:\.\d+)?(?:[\s{]*(?::|to\b)[\s}]*\d+(?:\.\d+)?)+(?:\s?[ap]\.?\s?m\.?)?", re.I)
_WORDS = re.compile(r"[A-Za-z][A-Za-z' -]*")


@dataclass
class Targets:
    """Things that a text must not say. Numbers are meant up to their sign.

    Attributes:
        numbers: Exact values.
        formulas: Values of what is more than a number.
        equations: Differences of the two sides.
        patterns: Words, and text as it stands.
    """

    numbers: set[Fraction] = field(default_factory=set)
    formulas: list[Value] = field(default_factory=list)
    equations: list[Value] = field(default_factory=list)
    patterns: list[re.Pattern[str]] = field(default_factory=list)


def targets(answer: str, parts: Iterable[str] = ()) -> Targets:
    """Collect what tells ``answer``, or one of its ``parts``."""
    found = Targets()
    texts = [answer, *parts, *_listed(answer)]
    said = dict.fromkeys(text for text in texts if not _INFINITE.fullmatch(text.strip()))
    for text in said:
        if len(text) > _LONGEST:
            found.patterns.append(re.compile(re.escape(text.strip())))
            continue
        _add(found, text)
    if not found.numbers and "infty" in answer:  # no bound tells it
        found.patterns.append(ALL_REALS.written)
    return found


def _listed(answer: str) -> list[str]:
    """Split a bracket at its commas: (100,101) is one number to who reads it as one."""
    match = _BRACKET.fullmatch(_NOISE.sub("", answer).strip())
    return [item.strip() for item in match[1].split(",")] if match else []


def _add(found: Targets, text: str) -> None:
    plain = " ".join(_NOISE.sub(" ", _TEXT.sub(r" \1 ", text)).split()).rstrip(".")
    found.patterns += spellings_of(plain)
    if option := _OPTION.fullmatch(plain):
        found.patterns += _option(option[1])
        return
    if _WORDS.fullmatch(plain):
        found.patterns.append(_words(plain))
    if _RATIO.fullmatch(plain):
        found.patterns.append(_ratio(plain))
    numbers = set(_quantity(plain))
    for formula in _formulas(text, plain):
        found.formulas.append(formula)
        if (rational := _rational(formula)) is not None:
            numbers.add(rational)
    if (equation := equation_of(_NOISE.sub(" ", text).strip())) is not None and "=" in text:
        found.equations.append(equation)
    found.numbers |= {abs(number) for number in numbers}
    found.formulas += [constant(float(number)) for number in numbers]
    if not numbers or not _is_number(plain):
        found.patterns.append(literal(text))


def _formulas(text: str, plain: str) -> Iterator[Value]:
    bare = _NOISE.sub(" ", _UNIT.sub("", text))
    for said in dict.fromkeys((text, plain, _assigned(plain), bare, _assigned(bare))):
        if (value := value_of(said.strip().strip("$").rstrip("."))) is not None:
            yield value
    parts = _EQUALS.split(bare)
    sides = [value for part in parts if (value := value_of(part.strip())) and value[0] == value[1]]
    if len(sides) == len(parts) > 1:
        yield from sides  # 2/3 ≈ 0.67


def _assigned(plain: str) -> str:
    """Return what stands behind "x =", or all of it."""
    match = _ASSIGNED.fullmatch(plain)
    return match["value"].strip() if match else plain


def _is_number(plain: str) -> bool:
    return bool(re.fullmatch(r"[-+−]?\s*[\d.,{}\s]+", plain))


def _quantity(plain: str) -> Iterator[Fraction]:
    """Values of a number that stands with nothing but its sign, a name, and a unit."""
    if based := _BASED.fullmatch(plain):
        plain = based[1]
    plain = _assigned(plain)
    found = list(numerals(plain))
    found = sorted([*found, *amounts(plain, found)], key=lambda numeral: numeral.start - numeral.end)
    if not found:
        return
    longest = found[0]
    if _BESIDE_A_NUMBER.fullmatch(plain[: longest.start]) and _BESIDE_A_NUMBER.fullmatch(
        plain[longest.end :]
    ):
        for numeral in found:  # the 1 of 1 1/2 tells nothing; of 50%, 50 and 1/2 may be meant
            if numeral.start == longest.start and numeral.compound == longest.compound:
                yield from numeral.values


def _rational(value: Value) -> Fraction | None:
    """The value as a fraction, if it is a number that looks like one."""
    number = value[0]
    if number != value[1] or abs(number.imag) > 1e-13 or abs(number.real) > 1e15:
        return None
    guess = Fraction(number.real).limit_denominator(_LARGEST_DENOMINATOR)
    return guess if abs(guess - Fraction(number.real)) <= 1e-13 * max(1, abs(guess)) else None


# ---------------------------------------------------------------- patterns

_PIECE = re.compile(r"\\[A-Za-z]+|\\.|\d|[A-Za-z]+|[^\s{}]")
_GLUE = (
    r"(?:\s|\\[!,;: ]|\\(?:left|right)(?![A-Za-z])|\\(?:text|mbox|math(?:rm|bin|punct))(?![A-Za-z])|[{}$~])*"
)
_SPELLINGS = {r"\frac": r"\\[dt]?frac", "-": "[-−–]"}
_SPELLINGS |= {r"\dfrac": _SPELLINGS[r"\frac"], r"\tfrac": _SPELLINGS[r"\frac"]}


def literal(answer: str) -> re.Pattern[str]:
    """A pattern for ``answer`` as a whole, free in spacing, braces and LaTeX sizes."""
    text = _NOISE.sub(" ", _TEXT.sub(r" \1 ", answer)).strip().rstrip(".")
    pieces = _PIECE.findall(text)
    if not pieces:
        return re.compile(r"(?!)")  # nothing can mention an empty answer
    patterns = [_SPELLINGS.get(piece) or re.escape(piece) for piece in pieces]
    before = r"(?<![A-Za-z\d\\])" if pieces[0][0].isalnum() else ""
    after = r"(?![A-Za-z\d])" if pieces[-1][-1].isalnum() else ""
    closing = r"\}*" if text.endswith("}") else ""
    return re.compile(
        before + _GLUE.join(patterns) + after + closing, re.IGNORECASE if _is_words(text) else 0
    )


def _is_words(text: str) -> bool:
    return any(len(word) > 1 for word in re.findall(r"[A-Za-z]+", text)) and "\\" not in text


def _words(plain: str) -> re.Pattern[str]:
    """Words in capitals or not, in singular and plural."""
    words = plain.strip().split()
    stem = re.escape(words[-1])
    forms = [stem + r"(?:e?s)?(?:['’]s?)?"]
    if len(stem) > 3 and stem.endswith("s"):
        forms.append(re.escape(words[-1][:-1]))
    if len(stem) > 2 and stem.endswith("y"):
        forms.append(re.escape(words[-1][:-1]) + "ies")
    said = r"[\s~-]+".join([*map(re.escape, words[:-1]), f"(?:{'|'.join(forms)})"])
    return re.compile(rf"(?<![A-Za-z\\]){said}(?![A-Za-z])", re.IGNORECASE)


def _ratio(plain: str) -> re.Pattern[str]:
    """The numbers of a ratio or of a time of day, with colons or "to" between them."""
    first, *others = (re.escape(number) for number in re.findall(r"\d+(?:\.\d+)?", plain))
    between = rf"{_GLUE}(?::|\\colon(?![A-Za-z])|\bto\b){_GLUE}"
    said = between.join([first.lstrip("0") or first, *others])
    return re.compile(rf"(?<![\d.:])0*{said}(?!\d|\.\d|:)")


def _option(letter: str) -> list[re.Pattern[str]]:
    """A letter alone: as it stands, or in brackets."""
    alone = rf"(?<![A-Za-z\\]){letter}(?![A-Za-z])"
    return [re.compile(rf"\(\s*(?i:{letter})\s*\)|{alone}")]
