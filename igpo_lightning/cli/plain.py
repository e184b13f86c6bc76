"""Configs as flat dicts: dotted keys, values, where an interpolation leads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_REFERENCE = re.compile(r"\$\{(\.*)([\w./-]+)\}")


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


def reference(flat: Mapping[str, Any], key: str) -> str | None:
    """The key that a ``${…}`` at ``key``, or at a node above it, leads to; None if none stands there."""
    parts = key.split(".")
    for i in range(1, len(parts) + 1):
        value = flat.get(".".join(parts[:i]))
        if isinstance(value, str) and (found := _REFERENCE.fullmatch(value)):
            dots, name = found.groups()
            return ".".join([*(parts[: i - len(dots)] if dots else ()), name, *parts[i:]])
    return None


def origin(flat: Mapping[str, Any], key: str) -> str:
    """The key that ``key`` takes its value from: that of ``${other}`` is ``other``, and so on."""
    seen: set[str] = set()
    while key not in seen and (source := reference(flat, key)) is not None:
        seen.add(key)
        key = source
    return key


def is_interpolation(value: Any) -> bool:
    return isinstance(value, str) and "${" in value


def one_line(error: BaseException | str | None) -> str:
    return " ".join(str(error).split())
