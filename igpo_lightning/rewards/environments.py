"""Environments of LaTeX that only lay out what they hold: one line, or a chain over several."""

from __future__ import annotations

import re

_NAMES = (
    r"(?:aligned|alignedat|align|alignat|flalign|equation|gathered|gather|split|eqnarray|multline|cases"
    r"|dcases|displaymath|math)\*?"
)
_LINES = re.compile(
    rf"\\begin\s*\{{(?P<name>{_NAMES}|array)\}}(?P<columns>(?:\s*\[[tbc]\])?\s*(?:\{{[lcr|\s0-9]*\}})?)"
    r"(?P<body>(?:(?!\\begin|\\end).)*)\\end\s*\{(?P=name)\}",
    re.DOTALL,
)
_MATRIX = re.compile(
    r"\\begin\s*\{(?P<name>[pbvBV]?(?:small)?matrix)\}(?:(?!\\begin|\\end).)*\\end\s*\{(?P=name)\}", re.DOTALL
)
_KEPT = "\x00"
_BREAK = re.compile(r"\\\\\s*(?:\[[0-9.]{1,6}\s?[a-z]{2}\])?")
_AND = re.compile(r"(?<!\\)&")
_CONTINUED = re.compile(r"\s*(?:=|\\approx(?![A-Za-z])|≈)")
_BESIDE_SIGN = re.compile(r"(?<!\\)&\s*=")
_OPENS = re.compile(rf"\\begin\s*\{{(?P<name>{_NAMES})\}}")
_ENDS = re.compile(rf"\\end\s*\{{(?P<name>{_NAMES})\}}\s*[.]?\s*\Z")
_NESTED = 3


def without_environments(text: str) -> str:
    """``text`` with ``x = 72`` for ``\\begin{aligned} x &= 72 \\end{aligned}``.

    Lines that go on with a sign, "&= 72", are part of the first one. What has several lines stays, and
    so does an array of several columns, unless they are the sides of an equation.
    """
    if "\\begin" not in text or _KEPT in text:
        return text
    matrices = [match[0] for match in _MATRIX.finditer(text)]
    text = _MATRIX.sub(_KEPT, text)  # their rows are no lines
    for _ in range(_NESTED):
        text, count = _LINES.subn(_line, text)
        if not count:
            break
    first, *rest = text.split(_KEPT)
    return first + "".join(matrix + piece for matrix, piece in zip(matrices, rest, strict=True))


def _line(match: re.Match[str]) -> str:
    body = match["body"]
    lines = [line for line in _BREAK.split(body) if _AND.sub("", line).strip()]
    columns = sum(map(match["columns"].count, "lcr"))
    if match["name"] == "array" and (columns > 1 or "&" in body) and not _BESIDE_SIGN.search(body):
        return match[0]
    lines = [_AND.sub(" ", line) for line in lines]
    if not lines or not all(map(_CONTINUED.match, lines[1:])):
        return match[0]
    return f" {' '.join(line.strip() for line in lines)} "


def opened(text: str, start: int) -> tuple[int, str] | None:
    """(start of its body, text that ends it) of a display that opens at ``start``, else None."""
    for sign, end in (("$$", "$$"), ("\\[", "\\]")):
        if text.startswith(sign, start):
            return start + 2, end
    match = _OPENS.match(text, start)
    return (match.end(), f"\\end{{{match['name']}}}") if match else None


def last_environment(tail: str) -> int:
    """Index at which the environment opens that ends ``tail``; -1 if none does."""
    match = _ENDS.search(tail)
    return tail.rfind(f"\\begin{{{match['name']}}}", 0, match.start()) if match else -1
