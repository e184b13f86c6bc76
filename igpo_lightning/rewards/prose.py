"""Tells answers from prose about an answer."""

from __future__ import annotations

import re

from igpo_lightning.rewards.emphasis import without_emphasis
from igpo_lightning.rewards.words import NUMBER_WORDS

_PROSE = re.compile(
    r"(?:(?:correct|right|wrong|incorrect|not|found|obtained|given|in|to|as|that|reasonable|verified|yours"
    r"|the\s+same|unchanged|confirmed|consistent|based|simplified|expressed|rounded|written|calculated|clear"
    r"|required|asked|known|determined|derived|computed|complete|valid|plausible|supposed|expected"
    r"|boxed|below|above|here|there|what|how|why|when|one\s+of)\b(?!\s*\Z)"
    r"|(?:correct|right|wrong|incorrect|found|obtained|given|reasonable|verified|yours|the\s+same|unchanged"
    r"|confirmed|consistent|clear|known|complete|valid|plausible|below|above|here|as\s+follows)\W*\Z"
    r"|(?:step|part|case|note|verification|check|checking|conclusion|solution|explanation|approach)\b)",
    re.I,
)
_MAY_LEAD = re.compile(r"(?:(?:always|unique|positive|negative)\b\s*)+(?!\s*\Z)", re.I)
_ARTICLE = re.compile(r"an?\b(?!\s*\Z)", re.I)
_AMOUNT = re.compile(
    r"[(\[]?\s*[-+]?\s*(?:[0-9$\\]|\.[0-9])|(?:"
    + "|".join(sorted(NUMBER_WORDS - {"a", "an", "and"}))
    + r")\b",
    re.I,
)
_COUNTED = re.compile(
    r"\s+(?:(?:grand|combined|net|final)\s+)?"
    r"(?:total|sum|average|mean|maximum|minimum|profit|score|distance|value|cost|price|balance)\s+of\s+",
    re.I,
)
_NAMED = re.compile(  # a = 5, A) 24, A: 24, a + b
    r"\s*(?:[=<>\u2264\u2265\u2260^+*/:).]|\\)|\s+-\s|\s*(?:,|\b(?:and|or)\b)\s*(?-i:[A-J])\b|\s+\$?[0-9][0-9.,]*\s?\\?%"
)
_VAGUE = re.compile(
    r"the\s+(?:number|amount|sum|total|value|product|difference|result|one|answer|smallest|largest)\b", re.I
)
_HAS_MATHS = re.compile(r"[\d$\\=]")
_MOST_WORDS = 6


def is_answer(said: str) -> bool:
    """True unless ``said`` is prose about an answer ("correct", "found by adding 5 and 6")."""
    plain = without_emphasis(said.strip()).lstrip("*_ ")
    if not plain.strip("*_.:!?$ ") or _PROSE.match(plain) or _describes(plain):
        return False
    return bool(_HAS_MATHS.search(plain)) or (len(plain.split()) <= _MOST_WORDS and not _VAGUE.match(plain))


def _describes(said: str) -> bool:
    """True for "always positive", "a multiple of 3"; not for "negative 3", "a = 5", "a total of 72"."""
    if (leads := _MAY_LEAD.match(said)) is not None:
        return not _AMOUNT.match(said, leads.end())
    if (article := _ARTICLE.match(said)) is None:
        return False
    counted = _COUNTED.match(said, article.end())
    return not (_AMOUNT.match(said, counted.end()) if counted else _NAMED.match(said, article.end()))
