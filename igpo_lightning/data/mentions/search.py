"""The search of a trace for whatever tells its answer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction

from igpo_lightning.data.mentions.formulas import find, formula_at, value_of
from igpo_lightning.data.mentions.numerals import Numeral, numerals
from igpo_lightning.data.mentions.targets import Targets, targets
from igpo_lightning.data.mentions.values import Value, proportional, same
from igpo_lightning.rewards.layout import parts
from igpo_lightning.rewards.verify import Verifier

Span = tuple[int, int]


def mentions(trace: str, answer: str, verifier: Verifier) -> list[Span]:
    """Every [begin, end) of ``trace`` that tells ``answer`` or a part of it; they may overlap.

    Told is whatever has the value of the answer, or of one of its parts, up to its sign: a number in digits
    or words, a formula or a part of one, an equation that says the same, a decimal that is the value
    rounded; the same words or text; and any other piece of mathematics that ``verifier`` accepts. An
    option's letter is told by its value, and the value by the letter. Plain arithmetic tells nothing: that
    48 + 24 is asked for is what a hint is there to say.
    """
    pieces = parts(answer)
    aims = targets(answer, pieces)
    if option := _LETTER.fullmatch(answer):
        _add_values(aims, trace, option[1])
    spans = [match.span() for pattern in aims.patterns for match in pattern.finditer(trace)]
    found = [*_numbers(trace, aims), *_formulas(trace, aims)]
    negative = "-" in answer or "−" in answer
    spans += [(begin - (negative and trace[begin - 1 : begin] in _MINUS), end) for begin, end in found]
    spans += list(_options(trace, spans))
    return spans + list(_accepted(trace, [answer, *pieces], verifier, merged(spans)))


def merged(spans: Sequence[Span]) -> tuple[Span, ...]:
    """The same characters as sorted spans that do not touch."""
    result: list[Span] = []
    for begin, end in sorted(spans):
        if result and begin <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((begin, end))
    return tuple(result)


# ---------------------------------------------------------------- numbers

_MINUS = ("-", "−", "–")


def _numbers(trace: str, aims: Targets) -> Iterator[Span]:
    constants = [abs(v[0].real) for v in aims.formulas if v[0] == v[1] and not v[0].imag]
    endless = [value for value in constants if value % 1]
    for numeral in numerals(trace):
        if not aims.numbers.isdisjoint(numeral.values) or (
            endless and _rounds(trace, numeral, aims, endless)
        ):
            yield numeral.start, numeral.end


def _rounds(trace: str, numeral: Numeral, aims: Targets, values: Sequence[float]) -> bool:
    """True if a decimal of three digits or more is one of ``values`` rounded, or rounds to one."""
    digits = trace[numeral.start : numeral.end]
    places = len(digits.partition(".")[2])
    if not digits[-1:].isdigit() or places < 2 or len(digits.replace(".", "").lstrip("0")) < 3:
        return False
    stated = float(max(numeral.values))
    if any(_within(stated, value, places) for value in values):
        return True
    decimals = [(float(n), _decimal_places(n)) for n in aims.numbers if n.denominator > 1]
    return any(own < places and _within(stated, value, own) for value, own in decimals)


def _within(left: float, right: float, places: int) -> bool:
    """True if the two are the same when rounded to ``places`` digits behind the point."""
    return abs(left - right) <= 0.5000001 * 10.0**-places


def _decimal_places(number: Fraction) -> int:
    """Digits behind the point of a decimal; many if it has no end."""
    return next((places for places in range(7) if 10**places % number.denominator == 0), 99)


# ---------------------------------------------------------------- formulas

_MATHS = re.compile(r"\$\$?([^$]+)\$\$?|\\\[(.+?)\\\]|\\\((.+?)\\\)|\\begin\{align\*?\}(.+?)\\end", re.DOTALL)
_BREAK = re.compile(
    r"=|<|>|&|\\\\|,|;|\.\s|\.\Z|\\(?:leq?|geq?|approx|Rightarrow|implies|in|q?quad|boxed|equiv|to|neq?)(?![A-Za-z])"
    r"|\\(?:text|mbox)\s*\{\s*(?:and|or|if|so|for|then)\s*\}"
)
_ARITHMETIC = re.compile(
    r"(?:[\d\s.,$%()*/+×÷·−–xX{}°-]|\\[,!$%;: ]|\\(?:cdot|times|div|left|right|[dt]?frac)(?![A-Za-z])"
    r"|\^\{?\s*\\circ\s*\}?)+"
)
_OPERATION = re.compile(
    r"\d[\s\d.,$%)}]*(?:[-+*/×÷−–·(]|\\(?:cdot|times|div|[dt]?frac)|[xX]|\^\{?\s*\\circ\s*\}?\s*[-+*/])|\\[dt]?frac|\)\s*\("
)
_ONE_FRACTION = re.compile(
    r"[-+\s(]*(?:\d+[\s-]*)?(?:\\[dt]?frac\s*(?:\{[\s\d.,]+\}|\d)\s*(?:\{[\s\d.,]+\}|\d)|[\d.,]+\s*/\s*[\d.,]+)[\s)]*"
)
_SLOW = re.compile(r"\\(?:sum|prod|int|lim)(?![A-Za-z])")
_WORTH_ASKING = re.compile(r"\d|\\[A-Za-z]")
_LONGEST = 120  # characters of a piece that is put to the grader


def _formulas(trace: str, aims: Targets) -> Iterator[Span]:
    if not aims.formulas and not aims.equations:
        return
    found = find(trace)
    for start, end, value in found.formulas:
        if any(same(value, aim) for aim in aims.formulas) and not _is_calculation(trace[start:end], value):
            yield start, end
    for start, end, value in found.equations:
        if any(proportional(value, aim) for aim in aims.equations):
            yield start, end


def _is_calculation(text: str, value: Value) -> bool:
    """True for plain arithmetic that is still to be carried out, such as 48 + 24: it is no value yet.

    One fraction or mixed number is a value, unless it comes to a whole number (144/12).
    """
    if value[0] != value[1] or not _ARITHMETIC.fullmatch(text) or not _OPERATION.search(text):
        return False
    return not (_ONE_FRACTION.fullmatch(text) and value[0].real % 1)


def _accepted(trace: str, said: Sequence[str], verifier: Verifier, told: Sequence[Span]) -> Iterator[Span]:
    """Pieces of mathematics that have no value of their own, but that the grader would take."""
    for maths in _MATHS.finditer(trace):
        group = next(number for number, text in enumerate(maths.groups(), start=1) if text is not None)
        for start, end in _pieces(trace, *maths.span(group)):
            text = trace[start:end]
            if not _WORTH_ASKING.search(text) or len(text) > _LONGEST or _SLOW.search(text):
                continue
            if any(begin <= start and end <= stop for begin, stop in told) or value_of(text) is not None:
                continue
            if any(verifier.equal(text, answer) for answer in said):
                yield start, end


def _pieces(trace: str, start: int, end: int) -> Iterator[Span]:
    """Mathematics between relations, commas and conjunctions, without the spaces around it."""
    cuts = [match.span() for match in _BREAK.finditer(trace, start, end)]
    for begin, stop in zip([start, *(cut[1] for cut in cuts)], [*(cut[0] for cut in cuts), end], strict=True):
        text = trace[begin:stop]
        if text.strip():
            yield begin + len(text) - len(text.lstrip()), stop - len(text) + len(text.rstrip())


# ---------------------------------------------------------------- options

_OPTION = re.compile(r"\(\s*([A-Ja-j])\s*\)\}?(?:[\s~$:=]|\\[,;:! ]|\\q?quad(?![a-z]))*")
_LETTER = re.compile(r"\W*(?:\\(?:text|math)\w*\s*\{)?\W*([A-J])\W*")


def _add_values(aims: Targets, trace: str, letter: str) -> None:
    """Value that ``trace`` gives the option ``letter``."""
    for match in _OPTION.finditer(trace):
        said = formula_at(trace, match.end()) if match[1].upper() == letter else ""
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
