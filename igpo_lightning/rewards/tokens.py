"""The grader's dialect of LaTeX as tokens."""

from __future__ import annotations

import re
from typing import NamedTuple

from igpo_lightning.rewards.unit_names import UNITS, UPRIGHT
from igpo_lightning.rewards.vocabulary import CAPITALS, GREEK, SPELLED, listed
from igpo_lightning.rewards.words import NUMBER_WORDS

MAX_TOKENS = 600
"""Longer answers are compared as texts only."""


class Token(NamedTuple):
    """A piece of an answer.

    Attributes:
        kind: "number", "name" (one letter, or a command), "word", "function" or "sign".
        text: Itself; a command with its backslash, a word without its text command.
        start: Where it begins, in characters of the dialect.
        end: Where it ends.
        spaced: White space stands before it.
        upright: It stood in a text command.
    """

    kind: str
    text: str
    start: int
    end: int
    spaced: bool = False
    upright: bool = False


FUNCTIONS = listed(
    "sin cos tan cot sec csc arcsin arccos arctan arccot arcsec arccsc sinh cosh tanh coth sech csch arcsinh "
    "arccosh arctanh ln log lg exp sqrt asin acos atan abs"
)
_CONSTANTS = {
    **dict.fromkeys(("infty", "inf", "oo", "infinity"), "\\infty"),
    **{name: f"\\{name}" for name in SPELLED},
}
_LETTERS = listed(f"{GREEK} {CAPITALS} hbar ell infty emptyset AA odot aleph nabla")
_BEFORE_UNIT = listed("\\pi ! x y z")  # besides numbers and brackets; "\\mu mg" is a product
_NUMBER = r"(?:[0-9]+(?:\.(?!\.)[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4}(?![A-Za-z0-9.]))?"
_THOUSANDS = (
    r"(?<!,)[1-9][0-9]{0,2}(?:,[0-9]{3})+(?![0-9])(?:\.[0-9]+(?![0-9])|\.(?![.0-9]))?"
    r"(?!\.[0-9]|,\.?[0-9]|[eE][+-]?[0-9])"
)
_TOKEN, _GROUPED = (
    re.compile(
        r"(?P<space>\s+)|\\text\s*\{(?P<text>[^{}]*)\}|(?P<command>\\(?:[A-Za-z]+|.))"
        rf"|(?P<number>{number})|(?P<letters>[A-Za-z]+)|(?P<sign>.)",
        re.DOTALL,
    )
    for number in (_NUMBER, f"{_THOUSANDS}|{_NUMBER}")
)
_WORD = re.compile(r"[A-Za-z]+(?:[-'.][A-Za-z]+)*|[^A-Za-z\s]|\s+")
_VOWEL = re.compile("[aeiouAEIOU]")


def tokenize(text: str, thousands: bool = False) -> list[Token] | None:
    """Tokens of ``text``, which :func:`notation.plain` has made; None if they are too many.

    With ``thousands``, "10,080" is one number, else two and a comma.
    """
    tokens: list[Token] = []
    spaced = False
    for match in (_GROUPED if thousands else _TOKEN).finditer(text):
        if len(tokens) > MAX_TOKENS:
            return None
        start, end = match.span()
        if match["space"]:
            spaced = True
            continue
        if match["text"] is not None:
            tokens += _upright(match["text"], match.start("text"), start, end)
        elif match["number"]:
            tokens.append(Token("number", match[0].replace(",", ""), start, end, spaced))
        elif match["letters"]:
            tokens += _letters(match[0], start, spaced, tokens)
        elif match["command"]:
            if match[0] != "\\text":
                tokens.append(_command(match[0], start, end, spaced))
        else:
            tokens.append(Token("sign", match[0], start, end, spaced))
        spaced = bool(match["text"]) and match["text"][-1:].isspace()
    return tokens


def _command(text: str, start: int, end: int, spaced: bool) -> Token:
    name = text[1:]
    kind = "function" if name in FUNCTIONS else "name" if name in _LETTERS else "sign"
    return Token(kind, text, start, end, spaced)


def _upright(content: str, begin: int, start: int, end: int) -> list[Token]:
    """Words of a text command; a lone letter or function in it is a name."""
    bare = content.strip()
    if bare in FUNCTIONS and bare not in UNITS:
        return [Token("function", f"\\{bare}", start, end, True, True)]
    if bare.lower() in ("infinity", "\\infty"):
        return [Token("name", "\\infty", start, end, False, True)]
    if bare in ("e", "i"):
        return [Token("name", bare, start, end, False, True)]
    found = []
    for match in _WORD.finditer(content):
        if not match[0].isspace():
            kind = "word" if match[0][0].isalpha() else "sign"
            at = begin + match.start()
            found.append(Token(kind, match[0], at, at + len(match[0]), True, True))
    return found


def _letters(run: str, start: int, spaced: bool, before: list[Token]) -> list[Token]:
    """A run of letters outside of text commands: a function, a word, or names side by side."""
    end = start + len(run)
    if run in FUNCTIONS:
        return [Token("function", f"\\{run}", start, end, spaced)]
    if run in _CONSTANTS or run.lower() == "infinity":
        return [Token("name", _CONSTANTS.get(run, "\\infty"), start, end, spaced)]
    after_number = bool(before) and (
        before[-1].kind in ("number", "word")
        or before[-1].text in ("}", ")", "/")
        or (spaced and before[-1].text in _BEFORE_UNIT)
    )
    if len(run) > 1 and (
        (run in UNITS and (after_number or len(run) > 3 or (before and before[-1].text == "{")))
        or (run in UPRIGHT and spaced and before and before[-1].kind == "number" and not run.isupper())
        or run.lower() in NUMBER_WORDS
        or run.lower() in ("no", "so")
        or run in ("or", "if", "is", "of", "at", "to", "by", "on", "in", "as")
        or (len(run) > 2 and _VOWEL.search(run) and (spaced or not before or before[-1].text in ",;:("))
        or (len(run) > 2 and run.isupper())
    ):
        return [Token("word", run, start, end, spaced)]
    return [
        Token("name", letter, start + i, start + i + 1, spaced and i == 0) for i, letter in enumerate(run)
    ]
