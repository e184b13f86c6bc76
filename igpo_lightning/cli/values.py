"""Types of values: which keys hold a path or a name, and whether a value is of the type of its default."""

from __future__ import annotations

import re
from typing import Any

from igpo_lightning.cli.plain import is_interpolation

# These take words, numbers, lists and objects, whatever their default is.
_ANY_TYPE = re.compile(r"hydra\.|sweep\.|hardware\.(devices|strategy|precision)\b|model\.compile\b")

# What is a path, and what is another name; needed where the default is null or missing.
_PATH = re.compile(r"(.*[._])?(path|dir|folder)|resume|rescore|run|checkpoint|against|record|check")
_NAME = re.compile(r"(.*\.)?(revision|config|split|model|tokenizer|dtype)")


def is_path(key: str) -> bool:
    """True if ``key`` holds the path of a file or a folder (or a hub id)."""
    return _PATH.fullmatch(key) is not None


def is_name(key: str, default: Any) -> bool:
    """True if ``key`` holds a text, so that 2024 is a name and no number."""
    if is_path(key):
        return True
    if takes_any(key):
        return False
    if default is None or default == "???":
        return _NAME.fullmatch(key) is not None
    return isinstance(default, str) and not is_interpolation(default) and default != "auto"


def takes_any(key: str) -> bool:
    """True if ``key`` takes words, numbers and lists alike."""
    return _ANY_TYPE.match(key) is not None


def expected(default: Any, value: Any, key: str) -> str | None:
    """Description of what should have been given instead of ``value``; None if it will do."""
    if takes_any(key):
        return None
    if value is None:
        # A top-level key that has a value is read by the program itself, which needs one.
        return None if default is None or isinstance(default, dict) or "." in key else _kind(default)
    if default is None or default == "???" or is_interpolation(default) or is_interpolation(value):
        return None
    if isinstance(default, bool):
        fits = isinstance(value, bool)
    elif isinstance(default, (int, float)):
        fits = is_number(value)
    elif isinstance(default, list):
        fits = isinstance(value, list) or (is_numeric(default) and is_number(value))
    else:
        fits = isinstance(value, dict) == isinstance(default, dict)
    return None if fits else _kind(default)


def _kind(default: Any) -> str:
    for kind, said in (
        (bool, "true or false"),
        ((int, float), "a number"),
        (list, "a list such as [1,2]"),
        (dict, "settings of its own: set a key inside it, or null for none"),
    ):
        if isinstance(default, kind):
            return said
    return "a word"


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_numeric(default: Any) -> bool:
    """True for a list of numbers."""
    return isinstance(default, list) and bool(default) and all(map(is_number, default))
