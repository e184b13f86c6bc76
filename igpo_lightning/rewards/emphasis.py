"""Marks of emphasis, in Markdown and HTML, that a text may do without."""

from __future__ import annotations

import re

_TAGGED = re.compile(r"<(b|strong|i|em|u|code|mark|tt)>([^<\n]*(?:<(?![A-Za-z/])[^<\n]*)*)</\1>", re.I)
_CODE = re.compile(r"(?<![`\\])(`{1,3})(?!`)([^`\n]+)\1(?!`)")
_BOLD = re.compile(r"(?<![*\\])(\*\*\*?)(?![*\s])((?:[^*\n]|\*(?!\*))+?)(?<![\s\\])\1(?!\*)")
_SLANTED = re.compile(r"(?<![*\\])(\*)(?![*\s])([^*\n]+)(?<![\s\\])\1(?!\*)")
_UNDERLINED = re.compile(r"(?<![\w\\}\])])(__?)(?![_\s{])([^_\n]+)(?<![\s\\])\1(?![\w{(])")
_ALONE = re.compile(r"(?<=[^\s*])\*\*(?=[\s.,;:!?]|\Z)|(?<![^\s])\*\*(?=[^\s*])")
_OPERAND = re.compile(r"[\w)\]}]\Z")
_NUMBER = re.compile(r"[0-9)\]}]\s*\Z")
_FACTOR = re.compile(r"\s*[0-9(\\]")
_POWER = re.compile(r"[0-9(\\{]")
_RUN = re.compile(r"[*_`]{1,3}\Z")
_NESTED = 3


def without_emphasis(text: str) -> str:
    """``text`` without marks that stand in pairs, and without a ``**`` whose other half was cut off.

    Marks between operands are powers and products: 2**5, 2*3*4 and 2 *3* 4 stay.
    """
    if not any(mark in text for mark in "*_`<"):
        return text
    for _ in range(_NESTED):
        before = text
        text = _TAGGED.sub(r"\2", text)
        for pattern in (_CODE, _BOLD, _SLANTED, _UNDERLINED):
            text = pattern.sub(_unmarked, text)
        if text == before:
            break
    return _ALONE.sub("", text)


def _unmarked(match: re.Match[str]) -> str:
    text, (start, end) = match.string, match.span()
    if match[1][0] == "*":
        left, right = text[max(0, start - 8) : start], text[end : end + 8]
        if _OPERAND.search(left) or _POWER.match(right) or (_NUMBER.search(left) and _FACTOR.match(right)):
            return match[0]
    return match[2]


def opening(text: str, start: int, stop: int) -> int:
    """Start of ``text[start:stop]`` with the mark directly before it, if the other half stands within."""
    run = _RUN.search(text, max(0, start - 3), start)
    if run is None:
        return start
    close = text.find(run[0], start, stop)
    closes = close > start and not text[close - 1].isspace() and text[close + len(run[0]) :][:1] not in "*_`"
    return run.start() if closes or text.startswith(run[0], stop - len(run[0])) else start
