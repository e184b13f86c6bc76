"""Boxed answers in LaTeX: ``\\boxed{x}``, ``\\fbox{x}``, ``\\boxed 7``, and several of them side by side."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_TOKEN = re.compile(r"\\f?box(?:ed)?\s*\{|\\.|[{}]", re.DOTALL)
_BRACELESS = re.compile(
    r"\\f?box(?:ed)?(?![A-Za-z])\s*(?P<answer>[+-]?\d[\d.,/]*(?<![.,/])|(?<=\s)[A-Za-z](?![A-Za-z])"
    r"|\\[A-Za-z]+(?:\{[^{}]*\}){0,2}(?<!\{\}))"
)
_NAME = r"(?:\\?[A-Za-z]+(?:_(?:\w|\{\w{1,8}\}))?\s{0,3}=\s{0,3})"
_MARKS = r"(?:[\s$~]|\\[()\[\],;!: ]|\\q?quad(?![a-z]))"
_WORD = r"(?:,|;|&|\band\b|\bor\b|\\(?:text|mbox|textrm)\s?\{\s{0,3},?\s{0,3}(?:and|or)\s{0,3}\})"
_BETWEEN = re.compile(rf"{_MARKS}{{0,8}}{_WORD}(?:{_MARKS}|{_WORD}){{0,16}}(?P<name>{_NAME}?){_MARKS}{{0,4}}")
_BEFORE = re.compile(rf"(?P<name>{_NAME})\Z")
_NAME_CHARS = 24


class Box(NamedTuple):
    """``text[start:end]`` is a box around ``answer``."""

    answer: str
    start: int
    end: int


def boxes(text: str) -> list[Box]:
    """Closed boxes in order, outermost ones only; boxes joined by "and", "or" or a comma are one list.

    Takes one pass whatever the nesting. A box that is never closed is none.
    """
    return _joined(text, sorted(_braced(text) + _braceless(text), key=lambda box: box.start))


def unclosed(text: str) -> bool:
    """True if a box opens in ``text`` and does not close in it."""
    opened = sum(1 for _ in re.finditer(r"\\f?box(?:ed)?\s*\{", text))
    return opened > 0 and not _braced(text)


def wrappers(text: str) -> Iterator[tuple[re.Match[str], re.Match[str]]]:
    """``\\boxed{`` and the ``}`` that closes it, of all boxes, inner ones first."""
    open_braces: list[re.Match[str] | None] = []  # the match that opened a box, None for a plain brace
    for token in _TOKEN.finditer(text):
        if token[0] == "}":
            if open_braces and (opener := open_braces.pop()):
                yield opener, token
        elif token[0].endswith("{") and token[0] != "\\{":
            open_braces.append(token if len(token[0]) > 1 else None)


def _braced(text: str) -> list[Box]:
    found: list[Box] = []
    for opener, closer in wrappers(text):
        inner = text[opener.end() : closer.start()].strip()
        while found and found[-1].start > opener.start():
            nested = found.pop()
            if text[nested.start : nested.end] == inner:
                inner = nested.answer
        if inner:
            found.append(Box(inner, opener.start(), closer.end()))
    return found


def _braceless(text: str) -> list[Box]:
    """TeX lets the braces go around a single token; a whole number is what people mean by it."""
    return [Box(match["answer"], match.start(), match.end()) for match in _BRACELESS.finditer(text)]


def _joined(text: str, single: list[Box]) -> list[Box]:
    """Runs of boxes with nothing but "and", "or", commas and names between them, each as one list."""
    result: list[Box] = []
    run: list[tuple[str, Box]] = []
    for box in single:
        between = _BETWEEN.fullmatch(text, run[-1][1].end, box.start) if run else None
        if run and between is None:
            result.append(_list(run))
            run = []
        if between is None:
            before = _BEFORE.search(text[max(0, box.start - _NAME_CHARS) : box.start])
        said = between or before
        run.append((said["name"] if said else "", box))
    return [*result, _list(run)] if run else result


def _list(run: list[tuple[str, Box]]) -> Box:
    if len(run) == 1:
        return run[0][1]
    names = [name.strip() for name, _ in run]
    named = all(names) and len(set(names)) == len(names)  # x=\boxed{1}, y=\boxed{2} says which is which
    items = [f"{name if named else ''}{box.answer}" for name, (_, box) in zip(names, run, strict=True)]
    answer = ", ".join(dict.fromkeys(items))
    return Box(answer, run[0][1].start, run[-1][1].end)
