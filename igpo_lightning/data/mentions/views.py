"""Views: a text in another notation that knows where each of its characters came from."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from igpo_lightning.rewards.notation import plain

Span = tuple[int, int]

_FOREIGN = re.compile("[\u2070-\u207f\u00b2\u00b3\u00b9]+|[\u2080-\u209c]+|[^\x00-\x7f]")
_READ = frozenset("√π°×·⋅∙÷∕−–±≈£€¢")
"""Signs that the reader of formulas knows."""
_PROSE = frozenset("—•…“”‘’")
_COMMAND_LAST = re.compile(r"\\[A-Za-z]+\Z")


class View(NamedTuple):
    """``text`` is another writing of a stretch of a text.

    Attributes:
        text: It.
        starts: Where the source of each of its characters begins there.
        ends: Where it ends.
    """

    text: str
    starts: list[int]
    ends: list[int]

    def back(self, span: Span) -> Span:
        """The source of ``text[begin:end]``."""
        return self.starts[span[0]], self.ends[span[1] - 1]


def _joined(pieces: Iterable[tuple[str, int, int]]) -> View:
    """The view of pieces (what is written, where its source begins, where that ends)."""
    text, starts, ends = "", [], []
    for said, begin, end in pieces:
        text += said
        if len(said) == end - begin:  # sign by sign
            starts += range(begin, end)
            ends += range(begin + 1, end + 1)
        else:
            starts += [begin] * len(said)
            ends += [end] * len(said)
    return View(text, starts, ends)


# ---------------------------------------------------------------- Unicode


def folded(text: str) -> View:
    """``text`` with the signs of Unicode in the grader's dialect of LaTeX: 1½ as ``1\\frac{1}{2}``."""
    return _joined(_folded_pieces(text))


def _folded_pieces(text: str) -> Iterator[tuple[str, int, int]]:
    end = 0
    for match in _FOREIGN.finditer(text):
        yield text[end : match.start()], end, match.start()
        end = match.end()
        yield _ascii(match[0]), match.start(), end
    yield text[end:], end, len(text)


@lru_cache(maxsize=4096)
def _ascii(signs: str) -> str:
    if signs in _READ or signs in _PROSE:
        return signs
    if signs.isspace():
        return " "
    if unicodedata.category(signs[0]) == "Cf":  # of no width
        return ""
    said = plain(signs) or unicodedata.normalize("NFKC", signs)
    return f"{said} " if _COMMAND_LAST.search(said) else said


# ---------------------------------------------------------------- rows of a table

_ROW_ENDS = re.compile(
    r"\\begin\s*\{(?P<begun>[A-Za-z]+\*?)\}(?:\s*\[[a-z]\])?(?:\s*\{(?:[^{}]|\{[^{}]*\})*\})?"
    r"|\\end\s*\{[^{}]*\}|\\\\|\\cr(?![A-Za-z])|\n\s*\n"
)
_BRACKETED = re.compile(r"[pbBvV](?:small)?matrix\*?")
_MARKDOWN = re.compile(r"^[ \t]*\|.+\|[ \t]*$", re.MULTILINE)
_NO_DIGITS = re.compile(r"\D*")
_LAYOUT = re.compile(
    r"[&|\s~$]|\\[,;:!> ]"
    r"|[_^]\s*\{(?:\\(?:text|mbox)\s*\{\s*\}|[\s~])*\}"
    r"|\\(?:cline|cmidrule|hspace\*?|hskip|[hv]?phantom|color|multicolumn\s*\{[^{}]*\})\s*\{(?:[^{}]|\{[^{}]*\})*\}"
    r"|\\(?:text|mbox)\s*\{\s*\}"
    r"|\\(?:hline|q?quad|displaystyle|bf|rm|(?:under|over)line|math(?:bf|rm|it)|text(?:bf|rm|normal)?|mbox|boxed"
    r"|[fm]box|strut|left|right)(?![A-Za-z])"
)
_ROW_PIECE = re.compile(rf"(?P<layout>{_LAYOUT.pattern})|(?P<brace>[{{}}])|\\[A-Za-z]+|\\.|.", re.DOTALL)
_CARRY = re.compile(
    r"[_^]\s*(?:\{(?:[^{}]|\{[^{}]*\})*\}|\\[A-Za-z]+|[^\s&\\])"
    r"|\\(?:overset|stackrel|underset)\s*\{[^{}]*\}"
)
_LETTER = re.compile(r"(?<![\\A-Za-z])[A-Za-z](?![A-Za-z]*\{)")


def rows(text: str) -> Iterator[View]:
    """Each row of a table as one line of signs: ``8. & 1 & 8`` as 8.18.

    So columns of digits (with marks of what is carried left out) and terms in columns can be read. The rows
    of matrices in brackets, whose cells belong apart, are not given.
    """
    if "&" in text:
        for begin, end in _table_rows(text):
            yield from _in_one(text, begin, end)
    if "|" in text:
        for match in _MARKDOWN.finditer(text):
            yield from _in_one(text, *match.span())


def _table_rows(text: str) -> Iterator[Span]:
    begin, within = 0, ""
    for end, following, name in [
        *((match.start(), match.end(), match["begun"]) for match in _ROW_ENDS.finditer(text)),
        (len(text), len(text), None),
    ]:
        if "&" in text[begin:end] and not _BRACKETED.fullmatch(within):
            yield begin, end
        begin = following
        if name is not None:
            within = name
        elif text.startswith("\\end", end):
            within = ""


def _in_one(text: str, begin: int, end: int) -> Iterator[View]:
    if _NO_DIGITS.fullmatch(text, begin, end):
        return
    line = _joined(_row_pieces(text, begin, end))
    if line.text:
        yield line
    if _CARRY.search(line.text) and not _LETTER.search(line.text):
        digits = _joined(_row_pieces(text, begin, end, carried=False))
        if digits.text:
            yield digits


def _row_pieces(text: str, begin: int, end: int, carried: bool = True) -> Iterator[tuple[str, int, int]]:
    """Pieces of a row's text, without its layout and the braces of that; without ``carried`` marks, too."""
    kept: list[bool] = []  # of the braces that are open
    before, at = "", begin
    while at < end:
        if not carried and (mark := _CARRY.match(text, at, end)):
            at = mark.end()
            continue
        match = _ROW_PIECE.match(text, at, end)
        assert match is not None
        at = match.end()
        if match["layout"]:
            continue
        if match["brace"] == "{":
            kept.append(before in ("^", "_", "]", "}") or before[:1] == "\\")
        if match["brace"] and not (kept[-1] if match[0] == "{" else kept.pop() if kept else False):
            continue
        before = match[0]
        yield match[0], match.start(), match.end()
