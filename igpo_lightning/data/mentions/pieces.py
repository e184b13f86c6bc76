"""Pieces of mathematics in running text, as the grader would take them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from igpo_lightning.data.mentions.formulas import value_of
from igpo_lightning.data.mentions.values import FUNCTIONS, Value
from igpo_lightning.data.mentions.views import Span
from igpo_lightning.rewards.verify import Verifier

_OPENING = re.compile(r"\\.|\$\$?", re.DOTALL)
_ALIGNED = re.compile(r"\\begin\{align(?:ed|\*)?\}")
_CLOSING = {r"\[": r"\]", r"\(": r"\)", "$$": "$$"}
_IN_DOLLARS = re.compile(r"(?:[^$\\]|\\.)+", re.DOTALL)
_LABEL = re.compile(r"\\(?:text\w*|mbox|mathrm|operatorname)\s*\{[^{}]*\}|\\[A-Za-z]+")
_WORD = re.compile(r"[A-Za-z]{3,}")
_BREAK = re.compile(
    r"=|<|>|&|\\\\|,|;|\.\s|\.\Z|\\(?:leq?|geq?|approx|Rightarrow|implies|in|q?quad|boxed|equiv|to|neq?)(?![A-Za-z])"
    r"|\\(?:text|mbox)\s*\{\s*(?:and|or|if|so|for|then)\s*\}"
)
_ARITHMETIC = re.compile(
    r"(?:[\d\s.,$%()*/+×÷·−–xX{}°-]|\\[,!$%;: ]"
    r"|\\(?:cdot|times|div|left|right|[dt]?frac|[lr](?:floor|ceil))(?![A-Za-z])|\^\{?\s*\\circ\s*\}?)+"
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
_UNITS = re.compile(
    r"\\(?:text\w*|mbox|mathrm)\s*\{[^{}]*\}(?:\^\{?[23]\}?)?|\\\$|(?<=\s)[A-Za-z]{2,}(?:[\s-]+[A-Za-z]+)*\s*\Z"
)


def accepted(text: str, answers: Sequence[str], verifier: Verifier, told: Sequence[Span]) -> Iterator[Span]:
    """Pieces of mathematics that have no value of their own, but that the grader takes for an answer.

    Args:
        text: Prose with mathematics.
        answers: What is not to be said.
        verifier: The grader.
        told: What need not be asked about.
    """
    for span in _mathematics(text):
        for start, end in _pieces(text, *span):
            said = text[start:end]
            if not _WORTH_ASKING.search(said) or len(said) > _LONGEST or _SLOW.search(said):
                continue
            if any(begin <= start and end <= stop for begin, stop in told) or value_of(said) is not None:
                continue
            if any(verifier.equal(said, answer) for answer in answers) and not _calculates(said):
                yield start, end


def is_calculation(text: str, value: Value | None) -> bool:
    """True for plain arithmetic that is still to be carried out, such as 48 + 24: it is no value yet.

    One fraction or mixed number is a value, unless it comes to a whole number (144/12).
    """
    if value and value[0] != value[1]:
        return False
    if not _ARITHMETIC.fullmatch(text) or not _OPERATION.search(text):
        return False
    return not (_ONE_FRACTION.fullmatch(text) and (value is None or value[0].real % 1))


def _calculates(said: str) -> bool:
    """True for a calculation with units: ``1000 - 720 \\text{ dollars}``."""
    bare = _UNITS.sub(" ", said).strip()
    return is_calculation(bare, value_of(bare))


# ---------------------------------------------------------------- where mathematics stands


def _mathematics(text: str) -> Iterator[Span]:
    """Formulas set off by dollars, brackets or their environment, in order."""
    at = 0
    while opening := _OPENING.search(text, at):
        begin = at = opening.end()
        if opening[0] == "$":
            inside = _IN_DOLLARS.match(text, at)
            end = inside.end() if inside and text.startswith("$", inside.end()) else -1
            end = -1 if inside is None or _is_prose(inside[0]) else end
        elif aligned := _ALIGNED.match(text, opening.start()):
            begin, end = aligned.end(), text.find("\\end", at)
        else:
            end = text.find(_CLOSING[opening[0]], at) if opening[0] in _CLOSING else -1
        if end >= 0:
            yield begin, end
            at = end + len(_CLOSING.get(opening[0], "$"))


def _is_prose(text: str) -> bool:
    """True for what stands between two sums of money: lines, or several words outside of text commands."""
    if "\n" in text:
        return True
    words = _WORD.findall(_LABEL.sub(" ", text))
    return sum(word not in FUNCTIONS for word in words) > 1


def _pieces(trace: str, start: int, end: int) -> Iterator[Span]:
    """Mathematics between relations, commas and conjunctions, without the spaces around it."""
    cuts = [match.span() for match in _BREAK.finditer(trace, start, end)]
    for begin, stop in zip([start, *(cut[1] for cut in cuts)], [*(cut[0] for cut in cuts), end], strict=True):
        text = trace[begin:stop]
        if text.strip():
            yield begin + len(text) - len(text.lstrip()), stop - len(text) + len(text.rstrip())
