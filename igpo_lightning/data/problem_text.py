"""Problems as words and signs, in one notation, so that two spellings of a problem are the same."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from igpo_lightning.rewards.notation import plain

Words = tuple[str, ...]

_DRAWING = re.compile(r"\[asy\].*?(?:\[/asy\]|\Z)", re.DOTALL)
_OPERATOR = re.compile(r"\\operatorname\*?\s*\{\s*([a-z]+)\s*\}")
_MARKDOWN = re.compile(r"(?<![\w)])\*\*([^*\n]+)\*\*(?!\w)|^#+(?=\s)", re.MULTILINE)
_FIRST = re.compile(r"(\\(?:frac|binom)(?![a-z])\s*|\\log\s*_\s*)([0-9a-z])")
_SECOND = re.compile(r"(\\(?:frac|binom)(?![a-z])\s*(?:\{[^{}]*\}|\\[a-z]+)\s*)([0-9a-z])")
_FRACTION = re.compile(r"\\frac\s*\{\s*([\w.]*)\s*\}\s*\{\s*([\w.]*)\s*\}")
_SAME = {
    **dict.fromkeys((r"\cdot", r"\times"), " * "), "<=": r" \le ", ">=": r" \ge ", "!=": r" \neq ",
    "&": " ", ",": "",
}  # fmt: skip
_NOTATION = re.compile(
    r"\\(?:cdot|times|text|dollar|[lc]?dots[bcimo]?|begin|end|nonumber)(?![a-z])|[<>!]=|&|(?<=\d),(?=\d{3}(?!\d))"
)
_COMMAND = re.compile(r"\\[a-z]+")
_IDEOGRAPH = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"  # written without spaces: each is a word
_WORD = re.compile(rf"[{_IDEOGRAPH}]|[^\W\d_{_IDEOGRAPH}]+|\d+(?:\.\d+)?")
_SIGN = re.compile(rf"{_WORD.pattern}|[^\s\w{{}}\\.,;:?!'\"`~]")
_ARTICLE = re.compile(r"(?<![^\s(])a(?=\s[a-z]{2})")  # and no variable
_WORDS = """
an the of in to for on at with as and that this these those it its which is are was were be been has have
had do does did can could will would there so if then such we our you your he she his her they their
what how many much find compute determine calculate evaluate give please let value values number numbers
equal equals question problem answer
"""
_GRAMMAR = frozenset(_WORDS.split())
"""Words that may be put in or left out and leave a problem what it is."""


@dataclass(frozen=True)
class Reading:
    """A problem's text; what is read of it is kept."""

    text: str

    @cached_property
    def plain(self) -> str:
        """The text in lower case and in one notation."""
        return _plain(self.text)

    @cached_property
    def undrawn(self) -> str:
        """As ``plain``, without drawings."""
        return _plain(_DRAWING.sub(" ", self.text)) if self.is_drawn else self.plain

    @property
    def is_drawn(self) -> bool:
        """True if a drawing belongs to it."""
        return "[asy]" in self.text

    @cached_property
    def signs(self) -> Words:
        """The words, numbers and operators: what tells ``2 + 3`` from ``2 - 3``."""
        return tuple(_SIGN.findall(self.plain))

    @cached_property
    def words(self) -> Words:
        """The words and numbers, without drawings and LaTeX commands."""
        return tuple(_WORD.findall(_COMMAND.sub(" ", self.undrawn)))

    @cached_property
    def content(self) -> Words:
        """Signs that two wordings share: without drawings and the words of grammar, in singular."""
        signs = _SIGN.findall(_ARTICLE.sub(" ", self.undrawn))
        return tuple(_singular(sign) for sign in signs if sign not in _GRAMMAR)

    @cached_property
    def mathematics(self) -> Words:
        """The signs that are no words of the language: numbers, operators, variables, names of functions."""
        names = {_singular(command[1:]) for command in _COMMAND.findall(self.undrawn)}
        return tuple(sign for sign in self.content if not is_word(sign) or sign in names)


def is_word(sign: str) -> bool:
    """True for a word of a language; a letter alone is a variable."""
    return sign.isalpha() and (len(sign) > 1 or not sign.isascii())


def _singular(sign: str) -> str:
    plural = len(sign) > 3 and sign.isalpha() and sign.endswith("s") and not sign.endswith("ss")
    return sign[:-1] if plural else sign


def _plain(text: str) -> str:
    text = text.lower()
    if "*" in text or "#" in text:
        text = _MARKDOWN.sub(r"\1", text)
    if "\\operatorname" in text:
        text = _OPERATOR.sub(r"\\\1 ", text)
    text = plain(text).lower()
    if "\\frac" in text or "\\binom" in text or "\\log" in text:  # \frac12 is \frac{1}{2}, and 1/2
        text = _FRACTION.sub(r" \1/\2 ", _SECOND.sub(r"\1{\2}", _FIRST.sub(r"\1{\2}", text)))
    return _NOTATION.sub(lambda match: _SAME.get(match[0], " "), text)
