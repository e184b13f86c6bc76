"""The search of a trace for whatever tells its answer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction

from igpo_lightning.data.mentions.formulas import find, formula_at
from igpo_lightning.data.mentions.numerals import Numeral, numerals
from igpo_lightning.data.mentions.targets import Targets, targets
from igpo_lightning.data.mentions.values import same, proportional

Span = tuple[int, int]

_OPTION = re.compile(r"\(\s*([A-Ja-j])\s*\)\}?(?:[\s~$:=]|\\[,;:! ]|\\q?quad(?![a-z]))*")
_LETTER = re.compile(r"\W*(?:\\text\w*\s*\{)?\W*([A-Ja-j])\W*")


def mentions(trace: str, answer: str, parts: Iterable[str] = ()) -> list[Span]:
    """Every [begin, end) of ``trace`` that tells ``answer`` or one of its ``parts``; they may overlap.

    A mention is whatever has the value of what is asked, up to its sign: a number in digits or words, a
    formula or a part of one, an equation that says the same; a decimal that is the value rounded; or the
    same words or text. An option's letter is told by its value, and the value by the letter.
    """
    aims = targets(answer, parts)
    if option := _LETTER.fullmatch(answer):
        _add_values(aims, trace, option[1])
    spans = [match.span() for pattern in aims.patterns for match in pattern.finditer(trace)]
    spans += _numbers(trace, aims)
    spans += _formulas(trace, aims)
    return spans + list(_options(trace, spans))


def _numbers(trace: str, aims: Targets) -> Iterator[Span]:
    constants = [v[0].real for v in aims.formulas if v[0] == v[1] and not v[0].imag]
    loose = [*(float(n) for n in aims.numbers if n.denominator > 1), *map(abs, constants)]
    for numeral in numerals(trace):
        if not aims.numbers.isdisjoint(numeral.values) or (loose and _rounds(trace, numeral, aims, loose)):
            signed = trace[numeral.start - 1 : numeral.start] in ("-", "−")
            yield numeral.start - signed, numeral.end


def _rounds(trace: str, numeral: Numeral, aims: Targets, values: Sequence[float]) -> bool:
    """True if a decimal of three digits or more is one of ``values`` rounded, or rounds to one."""
    digits = trace[numeral.start : numeral.end]
    places = len(digits.partition(".")[2])
    if not digits[-1:].isdigit() or places < 2 or len(digits.replace(".", "").lstrip("0")) < 3:
        return False
    stated = float(max(numeral.values))
    if any(abs(stated - value) <= 0.5000001 * 10.0**-places for value in values):
        return True
    return any(_decimal_places(n) < places and _close(stated, n) for n in aims.numbers if n.denominator > 1)


def _decimal_places(number: Fraction) -> int:
    """Digits behind the point of a decimal; many if it has no end."""
    for places in range(1, 7):
        if 10**places % number.denominator == 0:
            return places
    return 99


def _close(stated: float, number: Fraction) -> bool:
    return abs(stated - float(number)) <= 0.5000001 * 10.0 ** -_decimal_places(number)


def _formulas(trace: str, aims: Targets) -> Iterator[Span]:
    if not aims.formulas and not aims.equations:
        return
    found = find(trace)
    for start, end, value in found.formulas:
        if any(same(value, aim) for aim in aims.formulas):
            yield start, end
    for start, end, value in found.equations:
        if any(proportional(value, aim) for aim in aims.equations):
            yield start, end


# ---------------------------------------------------------------- options


def _add_values(aims: Targets, trace: str, letter: str) -> None:
    """What ``trace`` says the option ``letter`` is."""
    for match in _OPTION.finditer(trace):
        said = formula_at(trace, match.end()) if match[1].upper() == letter.upper() else ""
        if any(character.isdigit() for character in said):
            more = targets(said)
            aims.numbers |= more.numbers
            aims.formulas += more.formulas


def _options(trace: str, told: Sequence[Span]) -> Iterator[Span]:
    """The letters of options whose value is told, wherever they stand in brackets."""
    starts = {start for start, _ in told}
    letters = {match[1] for match in _OPTION.finditer(trace) if match.end() in starts}
    for letter in letters:
        yield from (match.span() for match in re.finditer(rf"\(\s*{letter}\s*\)", trace, re.IGNORECASE))
