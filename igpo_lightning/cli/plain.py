"""Configs as flat dicts: dotted keys, values, where an interpolation leads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_REFERENCE = re.compile(r"\$\{(\.*)([\w.-]+)\}")


def flatten(plain: Any, prefix: str = "") -> dict[str, Any]:
    """All nodes and leaves of nested dicts and lists, by dotted key, outer ones first."""
    flat = {}
    for name, value in plain.items() if isinstance(plain, dict) else enumerate(plain):
        flat[f"{prefix}{name}"] = value
        if isinstance(value, (dict, list)):
            flat |= flatten(value, f"{prefix}{name}.")
    return flat


def lookup(flat: Mapping[str, Any], key: str) -> Any:
    """The value of a dotted key; None below an interpolation, where it is not known.

    Raises:
        KeyError: There is none.
    """
    dots = [i for i, char in enumerate(key) if char == "."]
    if any(is_interpolation(flat.get(key[:dot])) for dot in dots):
        return None
    return flat[key]


def origin(flat: Mapping[str, Any], key: str) -> str:
    """The key that ``key`` takes its value from: that of ``${other}`` is ``other``, and so on."""
    seen: set[str] = set()
    while key not in seen and is_interpolation(flat.get(key)) and (found := _REFERENCE.fullmatch(flat[key])):
        seen.add(key)
        dots, name = found.groups()
        key = ".".join([*(key.split(".")[: -len(dots)] if dots else []), name])
    return key


def is_interpolation(value: Any) -> bool:
    return isinstance(value, str) and "${" in value


def one_line(error: BaseException | str | None) -> str:
    return " ".join(str(error).split())
