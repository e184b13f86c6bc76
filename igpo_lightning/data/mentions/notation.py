"""Pieces of LaTeX and of plain arithmetic, as patterns to be matched at a position."""

from __future__ import annotations

import re

from igpo_lightning.rewards.vocabulary import CAPITALS, GREEK, listed

BLANK = r"(?:[\s~]|\\[,;:!> ])"
"""White space, for patterns of prose with LaTeX."""

TEXT = r"\\(?:text|textrm|mbox|mathrm)\s*\{\s*"
"""The beginning of a text command."""

_SPACE = rf"(?:{BLANK}|\\(?:left|right|displaystyle|textstyle|limits|[bB]igg?[lr]?)(?![A-Za-z]))"
GAP = re.compile(rf"(?:{_SPACE}|&(?=\s*[-+]))*")
GAP_BEGINS = frozenset(" \t\n\r~\\&\u00a0\u2009\u202f")
MONEY = re.compile(rf"(?:\\?[$£€])?{_SPACE}*")
MONEY_BEGINS = frozenset("\\$£€")
SIGN = re.compile(r"(?P<minus>[-−–](?!-))|\+|(?P<either>\\pm(?![A-Za-z])|±)|(?P<neither>\\mp(?![A-Za-z]))")
TIMES = re.compile(
    r"\\(?:cdot|times|ast)(?![A-Za-z])|\*(?!\*)|[×·⋅∙]|(?<![A-Za-z])[xX](?=\s*\\?\$?\.?\d|\s\s?\()"
)
OVER = re.compile(r"\\div(?![A-Za-z])|[/÷∕]")

DIGITS = re.compile(r"\d+(?:\.\d+)?")
GROUPED = r"\d{1,3}(?:(?:,\\!|\\!,|\{,\}|\\,|,)\d{3})+(?!\d)(?:\.\d+)?"
NUMBER = re.compile(rf"{GROUPED}|\d+(?:\.\d+)?(?:[eE][-+]?\d{{1,3}}(?!\w))?|\.\d+")
LOOSE = re.compile(  # which may also be numbers side by side
    r"(?<![\d.])\d{1,3}(?:(?:,[ ~]|[ ~'’_\u00a0\u2009\u202f]|\\[ :;]|,?\\[ ,:;])\d{3})+(?!\d)(?:\.\d+)?"
    r"|(?<![\d.,])\d{1,3},\d{4,}"
)
NO_DIGIT = re.compile(r"[^\d.eE+-]")
BASE = re.compile(r"\s*_\s*(?:\d+|\{[^{}]*\})")
REPEATED = re.compile(r"([\d,]{0,99}\.\d{0,99})\\overline\s*\{(\d{1,99})\}")
FRACTION = r"\\[dt]?frac\s*(?:\{\s*(\d+)\s*\}|(\d))\s*(?:\{\s*(\d+)\s*\}|(\d))"
MIXED = re.compile(rf"{BLANK}*{FRACTION}|(?:{BLANK}+|(?P<hyphen>-))(\d+)\s?/\s?(\d+)(?!\d)")
"""The fraction of a mixed number, behind its whole number; behind a hyphen it may also be taken off."""

SYMBOL = re.compile(r"[A-WYZa-wyz√π]")  # x may be a sign between numbers
NAME = re.compile(r"\\([A-Za-z]+)")
WORD = re.compile(r"[A-Za-z]+")
LAST_WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{2,}\Z")
INDEX = re.compile(r"_(?:[A-Za-z0-9]|\{[A-Za-z0-9,]{1,8}\})|'+|\^\s*\\prime")
DEGREE_SIGN = re.compile(r"\^\s*(?:\\circ(?![A-Za-z])|\{\s*\\circ\s*\})|°|\\degree(?![A-Za-z])")
PERCENT = re.compile(r"\s?\\?%")
STACKED = re.compile(r"\\(choose|over)(?![A-Za-z])")
EXPONENT = re.compile(r"\^\s*|\*\*\s*")
SUPERSCRIPTS = {"²": 2, "³": 3}
CLOSERS = {"(": ")", "[": "]", "{": "}", "|": "|"}

FRACTIONS = frozenset(["frac", "dfrac", "tfrac", "cfrac"])
CHOICES = frozenset(["binom", "dbinom", "tbinom"])
WRAPPERS = frozenset(["mathbf", "mathrm", "mathit", "text", "textbf", "textrm", "mbox", "boxed", "fbox"])
LETTERS = listed(f"{GREEK} {CAPITALS} varepsilon vartheta varphi infty ell")
