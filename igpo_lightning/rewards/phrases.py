"""Sets that have names in words: all real numbers, and no number at all.

The spellings serve the grader, which takes them for one answer, and the hints, which must tell none of them.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Phrase(NamedTuple):
    """A meaning, and its spellings.

    Attributes:
        name: Words that stand for it.
        worded: Matches its spellings in words, in lower case with a space between words.
        written: Matches them and its signs in LaTeX, wherever they stand in a text.
    """

    name: tuple[str, ...]
    worded: re.Pattern[str]
    written: re.Pattern[str]


def _phrase(name: str, words: str, signs: str) -> Phrase:
    said = " ".join(words.split()).replace("_", " ")
    free = said.replace(" ", r"[\s~]+")
    written = re.compile(rf"(?<![A-Za-z\\])(?:{free})(?![A-Za-z])|{signs}", re.I)
    return Phrase(tuple(name.split()), re.compile(said), written)


_BLANK = r"(?:\s|\\[,;:! ]|\\(?:left|right)(?![A-Za-z]))*"
_NONE = (
    r"(?:there_(?:is|are)_|(?:it|(?:the_)?(?:equation|system|inequality))_has_)?no_{}solutions?(?:_exists?)?"
)
ALL_REALS = _phrase(
    "all real numbers",
    r"(?:set_of_)?(?:the_)?real_numbers|(?:the_)?reals|(?:the_)?(?:whole_|entire_)?real_(?:number_)?line"
    r"|(?:set_of_)?(?:all|every|any)_(?:of_)?(?:the_)?real(?:s|(?:_numbers?|_values?)?(?:_(?:of_|for_)?[a-z])?)",
    rf"\\mathbb{_BLANK}\{{?\s*R\s*\}}?"
    rf"|\({_BLANK}[-−]{_BLANK}\\infty{_BLANK},{_BLANK}\+?{_BLANK}\\infty{_BLANK}\)"
    rf"|[-−]{_BLANK}\\infty{_BLANK}(?:<|\\lt){_BLANK}[a-z]{_BLANK}(?:<|\\lt){_BLANK}\+?{_BLANK}\\infty",
)
NOTHING = _phrase(
    "no solution",
    _NONE.format("") + r"|(?:the_)?(?:empty|null)_set",
    rf"\\(?:emptyset|varnothing|O)(?![A-Za-z])|\\\{{{_BLANK}\\\}}",
)
_PHRASES = (ALL_REALS, NOTHING, _phrase("no real solution", _NONE.format("real_"), r"(?!)"))


def meaning_of(words: list[str]) -> tuple[str, ...]:
    """The name of what ``words`` say; empty if they say none of these."""
    said = " ".join(words)
    return next((phrase.name for phrase in _PHRASES if phrase.worded.fullmatch(said)), ())


def spellings_of(answer: str) -> list[re.Pattern[str]]:
    """Patterns of whatever says the same as ``answer``."""
    return [phrase.written for phrase in _PHRASES if phrase.written.fullmatch(answer.strip())]
