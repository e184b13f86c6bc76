"""The search of a trace for whatever tells its answer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import chain

from igpo_lightning.data.mentions.formulas import find, formula_at
from igpo_lightning.data.mentions.numerals import numerals
from igpo_lightning.data.mentions.pieces import accepted, is_calculation
from igpo_lightning.data.mentions.quantities import amounts
from igpo_lightning.data.mentions.rounding import Rounded
from igpo_lightning.data.mentions.targets import Targets, targets
from igpo_lightning.data.mentions.values import proportional, same
from igpo_lightning.data.mentions.views import Span, folded, rows
from igpo_lightning.rewards.layout import parts
from igpo_lightning.rewards.verify import Verifier


def mentions(trace: str, answer: str, verifier: Verifier) -> list[Span]:
    """Every [begin, end) of ``trace`` that tells ``answer`` or a part of it; they may overlap.

    Told is whatever has the value of the answer, or of one of its parts, up to its sign: a number in digits
    or words, an amount in several units, a formula or a part of one, an equation that says the same, a
    decimal that is the value rounded; the same words or text; and any other piece of mathematics that
    ``verifier`` accepts. Rows of tables are also read as one number or formula. An option's letter is told
    by its value, and the value by the letter. Plain arithmetic tells nothing: that 48 + 24 is asked for is
    what a hint is there to say.
    """
    view = folded(trace)
    text, answer = view.text, folded(answer).text
    pieces = parts(answer)
    aims = targets(answer, pieces)
    if option := _LETTER.fullmatch(answer):
        _add_values(aims, text, option[1])
    spans = _told(text, aims, negative="-" in answer or "−" in answer)
    for row in rows(text):
        across = map(row.back, _told(row.text, aims))
        spans += [(begin, end) for begin, end in across if _CELL_ENDS.search(text, begin, end)]
    spans += list(_options(text, spans))
    spans += accepted(text, [answer, *pieces], verifier, merged(spans))
    return [view.back(span) for span in spans]


def merged(spans: Sequence[Span]) -> tuple[Span, ...]:
    """The same characters as sorted spans that do not touch."""
    result: list[Span] = []
    for begin, end in sorted(spans):
        if result and begin <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((begin, end))
    return tuple(result)


_MINUS = ("-", "−", "–")
_CELL_ENDS = re.compile(r"[&|]")


def _told(text: str, aims: Targets, negative: bool = False) -> list[Span]:
    """Places in ``text`` that tell one of ``aims``; with the minus in front if it is ``negative``."""
    spans = [match.span() for pattern in aims.patterns for match in pattern.finditer(text)]
    found = chain(_numbers(text, aims), _formulas(text, aims))
    spans += [(begin - (negative and text[begin - 1 : begin] in _MINUS), end) for begin, end in found]
    return spans


def _numbers(text: str, aims: Targets) -> Iterator[Span]:
    if not aims.numbers and not aims.formulas:
        return
    rounded = Rounded(aims)
    found = list(numerals(text))
    for numeral in chain(found, amounts(text, found)):
        if not aims.numbers.isdisjoint(numeral.values) or rounded.tells(text, numeral):
            yield numeral.start, numeral.end


def _formulas(text: str, aims: Targets) -> Iterator[Span]:
    if not aims.formulas and not aims.equations:
        return
    found = find(text)
    for start, end, value in found.formulas:
        if any(same(value, aim) for aim in aims.formulas) and not is_calculation(text[start:end], value):
            yield start, end
    for start, end, value in found.equations:
        if any(proportional(value, aim) for aim in aims.equations):
            yield start, end


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
